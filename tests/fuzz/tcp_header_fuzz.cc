// TCP headers, options and what is agreed by them. Checked: a header that was parsed is bounded and comes back the same when its
// fields are written and parsed again; what a handshake makes of any SYN can be worked with; no acknowledgement but the one of
// the cookie that was sent opens a connection, and that one brings the options back.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "dataplane/tcp/half_open.h"
#include "dataplane/tcp/syn_cookie.h"
#include "dataplane/wire/tcp_header.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace millrace;  // NOLINT(google-build-using-namespace)
using fuzz::Input;
using fuzz::require;
using tcp::SeqLen;
using tcp::SeqNum;
using wire::TcpFlags;

const Instant kNow = Instant::from_nanoseconds(90'000'000'000);

void check_round_trip(const wire::TcpHeaderView& header) {
  const wire::TcpFields fields{.source_port = header.source_port,
                               .destination_port = header.destination_port,
                               .seq = header.seq,
                               .ack = header.ack,
                               .flags = header.flags,
                               .window = header.window,
                               .urgent = header.urgent,
                               .options = header.options};
  std::uint8_t bytes[wire::kTcpMaxHeaderBytes];
  const std::size_t size = wire::tcp_header_size(fields.options);
  require(size >= wire::kTcpMinHeaderBytes && size <= wire::kTcpMaxHeaderBytes && size % 4 == 0);
  require(wire::write_tcp_header({bytes, size}, fields) == size);
  const auto again = wire::TcpHeaderView::parse({bytes, size});
  require(again && again->header_size == size && again->flags == header.flags && again->seq == header.seq);
  wire::TcpOptions expected = header.options;
  expected.sack_count =
      static_cast<std::uint8_t>(std::min<std::size_t>(expected.sack_count, wire::sack_blocks_that_fit(expected)));
  for (std::size_t i = expected.sack_count; i < expected.sack_blocks.size(); ++i) expected.sack_blocks[i] = {};
  wire::TcpOptions got = again->options;
  for (std::size_t i = got.sack_count; i < got.sack_blocks.size(); ++i) got.sack_blocks[i] = {};
  require(got == expected);
}

tcp::Segment segment_of(const wire::TcpHeaderView& header) {
  return {.seq = SeqNum(header.seq),
          .ack = SeqNum(header.ack),
          .flags = header.flags,
          .window = header.window,
          .options = header.options};
}

void check_terms(const tcp::Terms& terms) {
  require(terms.send_mss() > 0 && terms.send_mss() <= 1'460);
  require(terms.peer_scale <= wire::kTcpMaxWindowScale);
}

void check_handshake(const tcp::Segment& syn, const tcp::LocalTerms& local) {
  tcp::HalfOpen half(local, syn);
  check_terms(half.terms());
  const tcp::OutgoingSegment answer = half.answer(kNow);
  require(answer.has(TcpFlags::kSyn) && answer.has(TcpFlags::kAck) && answer.ack == syn.seq + SeqLen(1));
  require(!answer.options.timestamps || syn.options.timestamps);  // only what was offered
  require(!answer.options.window_scale || syn.options.window_scale);
  require(!answer.options.sack_permitted || syn.options.sack_permitted);
}

void check_cookie(const tcp::Segment& syn, const tcp::Segment& any, const tcp::LocalTerms& local) {
  const tcp::KeyedHash hash({9, 8, 7});
  tcp::SynCookies cookies(hash);
  const tcp::FlowKey flow{IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2), 80, 5'000};
  const tcp::OutgoingSegment cookie = cookies.answer(flow, local, syn, kNow);
  tcp::Segment ack{.seq = syn.seq + SeqLen(1), .ack = cookie.seq + SeqLen(1), .flags = TcpFlags::kAck, .window = any.window};
  if (cookie.options.timestamps) {
    ack.options.timestamps = {{.value = syn.options.timestamps->value + 1, .echo = cookie.options.timestamps->value}};
  }
  const auto terms = cookies.open(flow, local, ack, kNow + Duration::seconds(1));
  require(terms.has_value());
  check_terms(*terms);
  require(!terms->sack || syn.options.sack_permitted);
  // Of anything else, one in many thousands may pass by chance; then the answer has to be sane all the same.
  if (const auto guessed = cookies.open(flow, local, any, kNow)) check_terms(*guessed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> bytes(data, data + size);  // of exactly that size: an over-read is found
  const auto header = wire::TcpHeaderView::parse(bytes);
  if (!header) return 0;
  require(header->header_size >= wire::kTcpMinHeaderBytes && header->header_size <= std::min(size, wire::kTcpMaxHeaderBytes));
  require(header->options.sack_count <= wire::TcpOptions::kMaxSackBlocks);
  require(!header->options.window_scale || *header->options.window_scale <= wire::kTcpMaxWindowScale);
  check_round_trip(*header);
  const tcp::Segment any = segment_of(*header);
  tcp::Segment syn = any;
  syn.flags = TcpFlags::kSyn | (any.flags & (TcpFlags::kEce | TcpFlags::kCwr));
  const tcp::LocalTerms local{.iss = SeqNum(1), .mss = 1'460, .least_mss = 536, .window = 64'000, .window_scale = 7};
  check_handshake(syn, local);
  check_cookie(syn, any, local);
  return 0;
}
