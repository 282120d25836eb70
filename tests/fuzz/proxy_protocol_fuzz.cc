// The header of the PROXY protocol. The first byte says what is wanted. Checked: how the bytes are cut makes no difference,
// nothing behind the header is taken, what is no header comes back whole, and what was read is read again as it is written.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/proxy/proxy_protocol_reader.h"
#include "dataplane/proxy/proxy_protocol_writer.h"
#include "nic/heap_pool.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using millrace::fuzz::require;
using Reader = millrace::proxy::ProxyProtocolReader;
using Status = Reader::Status;

std::size_t feed(Reader& reader, std::span<const std::uint8_t> bytes, std::size_t step) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const auto part = bytes.subspan(at, std::min(step, bytes.size() - at));
    const std::size_t taken = reader.feed(part);
    at += taken;
    if (taken < part.size()) break;
  }
  return at;
}

void check_round_trip(Reader& reader) {
  static millrace::nic::HeapPool packets(100);
  static millrace::stream::ChainPool chains(packets, 64, 1'000);
  const millrace::proxy::ProxiedClient client{reader.addresses()->source, reader.addresses()->destination, reader.extensions()};
  millrace::config::ProxyProtocolOut out{millrace::config::ProxyProtocolOut::Version::kV2, {}};
  out.passed.set();
  millrace::stream::Chain chain(chains);
  require(millrace::proxy::write_proxy_header(out, &client, chain));
  std::vector<std::uint8_t> bytes(chain.size());
  chain.copy_out(0, bytes);
  millrace::config::ProxyProtocolIn all;
  all.kept.set();
  Reader again(all);
  require(feed(again, bytes, bytes.size()) == bytes.size() && again.status() == Status::kDone);
  require(again.addresses()->source == client.source && again.addresses()->destination == client.destination);
  require(again.extensions() == client.extensions || client.extensions.size() > 65'000);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  millrace::config::ProxyProtocolIn wanted;
  wanted.optional = (data[0] & 1) != 0;
  wanted.v1 = (data[0] & 2) == 0;
  wanted.v2 = (data[0] & 4) == 0;
  if ((data[0] & 8) != 0) wanted.kept.set();
  const std::span<const std::uint8_t> bytes(data + 1, size - 1);
  Reader whole(wanted);
  const std::size_t taken = feed(whole, bytes, bytes.size());
  for (const std::size_t step : {1, 3, 64}) {
    Reader cut(wanted);
    require(feed(cut, bytes, step) == taken || whole.status() == Status::kMalformed);
    require(cut.status() == whole.status());
    require(cut.extensions() == whole.extensions() || whole.status() != Status::kDone);
  }
  if (whole.status() == Status::kAbsent) require(std::ranges::equal(whole.held(), bytes.first(taken)));
  if (whole.status() == Status::kNeedMore) require(taken == bytes.size());
  require(whole.extensions().size() <= 65'535);
  if (whole.status() == Status::kDone && whole.addresses()) check_round_trip(whole);
  return 0;
}
