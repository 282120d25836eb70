// Records of a session, as they come off the wire. Checked: whatever comes is a record, too little, or an alert; what was sealed
// and arrives unharmed is what was sent, however it is cut; and what was harmed in a single bit is never taken.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/secure/record_io.h"
#include "nic/heap_pool.h"
#include "tests/fuzz/fuzz_input.h"
#include "tls/engines/openssl_engine.h"

using millrace::fuzz::Input;
using millrace::fuzz::require;
using namespace millrace;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::array<std::uint16_t, 4> kSuites = {0x1301, 0x1303, 0xc02f, 0xcca8};

// PendingRecord refers to its stream and never looks at it.
secure::TlsStream& nobody() {
  static std::uint8_t place = 0;
  return reinterpret_cast<secure::TlsStream&>(place);
}

struct World {
  explicit World(const tls::CipherSuite& chosen)
      : suite(chosen),
        keys{tls::Secret(tls::key_bytes(suite.aead)), tls::Secret(tls::kNonceBytes - suite.explicit_nonce_bytes())},
        sealer(*engine, suite, keys),
        opener(*engine, suite, keys) {}

  // False: not a record of ours.
  bool run(secure::PendingRecord& record) {
    require(engine->submit(record));
    require(engine->collect() == &record);
    return record.good;
  }

  nic::HeapPool packets{256};
  stream::ChainPool chains{packets, 16, 4'096};
  std::unique_ptr<tls::RecordEngine> engine = tls::make_openssl_engine();
  const tls::CipherSuite& suite;
  tls::TrafficKeys keys;
  tls::RecordSealer sealer;
  tls::RecordOpener opener;
};

void raw(World& world, std::span<const std::uint8_t> bytes) {
  stream::Chain cipher(world.chains);
  if (!cipher.append_copy(bytes)) return;
  secure::PendingRecord record(nobody(), world.chains);
  const auto taken = secure::prepare_open(world.opener, cipher, record);
  if (taken && *taken == secure::Taken::kRecord) require(!world.run(record));  // nobody guesses a tag
}

void sealed(World& world, Input& input) {
  while (!input.empty()) {
    const std::size_t size = input.word() % (tls::kMostPlaintextBytes + 1);
    const std::uint8_t harm = input.byte();
    const std::size_t where = input.word();
    std::vector<std::uint8_t> text(size, input.byte());
    stream::Chain plain(world.chains);
    require(plain.append_copy(text));
    secure::PendingRecord out(nobody(), world.chains);
    require(secure::prepare_seal(world.sealer, tls::ContentType::kApplicationData, plain, size, out));
    require(world.run(out));
    std::copy(out.tag.begin(), out.tag.end(), out.tag_in_record);
    std::vector<std::uint8_t> wire;
    out.bytes.for_each([&](std::span<const std::uint8_t> part) { wire.insert(wire.end(), part.begin(), part.end()); });
    const std::size_t from = tls::kRecordHeaderBytes;
    const bool harmed = harm % 4 == 0;
    if (harmed) wire[from + where % (wire.size() - from)] ^= static_cast<std::uint8_t>(1 << (harm / 4 % 8));
    stream::Chain cipher(world.chains);
    require(cipher.append_copy(wire));
    secure::PendingRecord in(nobody(), world.chains);
    const auto taken = secure::prepare_open(world.opener, cipher, in);
    require(taken && *taken == secure::Taken::kRecord);
    require(world.run(in) == !harmed);
    if (harmed) return;  // the session is over
    const auto content = world.opener.content_of(in.header, in.text);
    require(content && content->size == size && content->type == tls::ContentType::kApplicationData);
    std::vector<std::uint8_t> back(size);
    in.bytes.copy_out(0, back);
    require(back == text);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  World world(*tls::find_cipher_suite(kSuites[data[0] % kSuites.size()]));
  const std::span<const std::uint8_t> rest(data + 2, size - 2);
  if (data[1] % 2 == 0) {
    raw(world, rest);
  } else {
    Input input(rest);
    sealed(world, input);
  }
  return 0;
}
