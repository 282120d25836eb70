// The state machine of one connection, driven by segments that a peer, an attacker or a broken network might send, by time and by
// its user. Checked: what we send is what was written; what is read is what was sent, in
// order and once; a timer is planned while something is outstanding, and never for the past; in the end nothing is missing.
//
// Input: the first byte chooses how the connection begins; then operations, see Machine::step().
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "dataplane/tcp/connection.h"
#include "nic/heap_pool.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace millrace;  // NOLINT(google-build-using-namespace)
using fuzz::Input;
using fuzz::require;
using tcp::SeqLen;
using tcp::SeqNum;
using tcp::TcpFlags;

// Each side's stream, by position.
std::uint8_t our_byte(std::size_t at) { return static_cast<std::uint8_t>(at * 7 + at / 251); }
std::uint8_t peer_byte(std::size_t at) { return static_cast<std::uint8_t>(at * 13 + at / 241); }

class Machine {
 public:
  explicit Machine(std::uint8_t choice) : timestamps_((choice & 1) != 0), sack_((choice & 2) != 0) {
    config_.congestion = (choice & 4) != 0 ? tcp::CongestionKind::kNewReno : tcp::CongestionKind::kCubic;
    config_.nagle = (choice & 8) != 0;
    if ((choice & 16) != 0) config_.keep_alive_idle = Duration::seconds(10);
    if ((choice & 32) != 0) config_.user_timeout = Duration::seconds(30);
    connection_ = std::make_unique<tcp::Connection>(shared_);
    tcp::LocalTerms local{.iss = kIss, .mss = 1'000, .window = 60'000, .window_scale = 3, .ask_for_ecn = (choice & 64) != 0};
    if ((choice & 128) != 0) {
      connection_->open(local, now_);
      transmit();
    } else {
      tcp::Terms terms;
      terms.local = local;
      tcp::Segment syn{.seq = kIrs, .flags = TcpFlags::kSyn, .window = 5'000, .options = options(true)};
      terms.accept(syn);
      connection_->accept(terms, {.seq = kIrs + SeqLen(1), .ack = kIss + SeqLen(1), .flags = TcpFlags::kAck, .window = 5'000},
                          now_);
    }
  }
  ~Machine() {
    connection_->reset();
    transmit();
    require(connection_->state() == tcp::State::kClosed || connection_->state() == tcp::State::kTimeWait);
    connection_.reset();
    require(packets_.in_use() == 0 && chains_.nodes_in_use() == 0);
    require(held_.slices.in_use() == 0 && held_.blocks.in_use() == 0 && ranges_.in_use() == 0 && undos_.in_use() == 0);
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  void step(Input& in) {
    const std::uint8_t what = in.byte();
    switch (what % 16) {
      case 0: write(in.word() % 9'000); break;
      case 1: read(in.word()); break;
      case 2: connection_->shutdown_write(now_); break;
      case 3: now_ = now_ + Duration::milliseconds(in.byte()); break;
      case 4:
        if (!connection_->next_timeout().is_never()) now_ = std::max(now_, connection_->next_timeout());
        break;
      case 5: acknowledge(in); break;
      case 6: data_in_order(in.word() % 1'460); break;
      case 7:
        if (what >= 0xf0) connection_->close(now_);
        break;
      case 8: connection_->on_path_mss(48 + in.word() % 1'500, now_); break;
      case 9: connection_->on_unreachable(kIss + SeqLen(in.byte()), (what & 16) != 0); break;
      case 10: shared_.buffer_share = std::size_t{in.word()} * 64; break;
      default: segment(in); break;
    }
    transmit();
    (void)connection_->take_events();
  }

 private:
  static constexpr SeqNum kIss{0xffff'f000};  // both streams wrap soon
  static constexpr SeqNum kIrs{0xffff'e000};

  [[nodiscard]] wire::TcpOptions options(bool syn) const {
    wire::TcpOptions out;
    if (syn) {
      out.mss = std::uint16_t{900};
      out.window_scale = std::uint8_t{2};
      out.sack_permitted = sack_;
    }
    if (timestamps_) out.timestamps = {{.value = clock(), .echo = clock() - 3}};
    return out;
  }
  [[nodiscard]] std::uint32_t clock() const { return static_cast<std::uint32_t>(now_.to_nanoseconds() / 1'000'000); }

  nic::Slice peer_bytes(SeqNum seq, std::size_t size) {
    nic::Packet packet = packets_.allocate();
    if (!packet || size == 0) return {};
    const std::size_t at = (seq - (kIrs + SeqLen(1))).count();
    for (std::size_t i = 0; i < size; ++i) *packet.append(1) = peer_byte(at + i);
    return nic::Slice(std::move(packet));
  }

  // A cumulative acknowledgement of part of what is outstanding, with up to three SACK blocks.
  void acknowledge(Input& in) {
    const auto una = connection_->sender().snd_una();
    const std::uint32_t flight = (connection_->sender().snd_nxt() - una).count();
    const auto inside = [&] { return flight == 0 ? 0u : in.word() % (flight + 1u); };
    const std::uint8_t shape = in.byte();
    tcp::Segment segment{.seq = connection_->receiver().rcv_nxt(),
                         .ack = una + SeqLen((shape & 1) != 0 ? inside() : 0u),
                         .flags = TcpFlags::kAck,
                         .window = in.word(),
                         .options = options(false)};
    if ((shape & 2) != 0) segment.flags |= TcpFlags::kEce;
    for (std::uint8_t i = 0; sack_ && i < (shape >> 2) % 4; ++i) {
      const std::uint32_t a = inside();
      segment.options.sack_blocks[i] = {(una + SeqLen(a)).raw(), (una + SeqLen(a + in.word() % 3'000u)).raw()};
      segment.options.sack_count = static_cast<std::uint8_t>(i + 1);
    }
    give(segment);
  }

  void data_in_order(std::size_t size) {
    const SeqNum seq = connection_->receiver().rcv_nxt();
    tcp::Segment segment{.seq = seq,
                         .ack = connection_->sender().snd_una(),
                         .flags = TcpFlags::kAck,
                         .window = 9'000,
                         .options = options(false),
                         .payload = peer_bytes(seq, size)};
    give(segment);
  }

  // Anything, near what would be right.
  void segment(Input& in) {
    const std::uint8_t shape = in.byte();
    const SeqNum base = connection_->receiver().rcv_nxt();
    const std::uint16_t away = in.word();
    const SeqNum seq = (shape & 1) != 0 ? base + SeqLen(away) : base - SeqLen(away % 3'000u);
    const std::uint16_t ack_away = in.word();
    const SeqNum edge = (shape & 2) != 0 ? connection_->sender().snd_nxt() : connection_->sender().snd_una();
    tcp::Segment segment{.seq = seq,
                         .ack = (shape & 4) != 0 ? edge + SeqLen(ack_away % 512u) : edge - SeqLen(ack_away % 512u),
                         .flags = in.byte(),
                         .window = in.word(),
                         .options = options((shape & 8) != 0),
                         .congestion = (shape & 16) != 0};
    if ((shape & 32) != 0) segment.options.timestamps.reset();
    if ((shape & 64) != 0 && segment.options.timestamps) segment.options.timestamps->value -= away;
    // What lies before the stream's first byte is nobody's.
    if (kIrs < seq) segment.payload = peer_bytes(seq, in.word() % 1'460u);
    segment.payload_dropped = (shape & 128) != 0 && segment.payload.empty();
    give(segment);
  }

  void give(const tcp::Segment& segment) { connection_->on_segment(segment, now_); }

  void write(std::size_t size) {
    stream::Chain chain(chains_);
    for (std::size_t i = 0; i < size; ++i) {
      const std::uint8_t byte = our_byte(written_ + i);
      if (!chain.append_copy(std::span(&byte, 1))) break;
    }
    written_ += connection_->write(chain, now_);
  }

  void read(std::size_t limit) {
    stream::Chain chain(chains_);
    connection_->read(chain, limit, now_);
    chain.for_each([&](std::span<const std::uint8_t> part) {
      for (const std::uint8_t byte : part) require(byte == peer_byte(read_++));
    });
  }

  void transmit() {
    std::size_t sent = 0;
    connection_->on_timer(now_);
    connection_->transmit(now_, [&](const tcp::OutgoingSegment& out) {
      require(++sent < 20'000);
      if (out.size == 0) return;
      require(out.size <= 0xffff && std::min<std::size_t>(out.size, out.segment_size) <= 1'500 &&
              (out.flags & TcpFlags::kSyn) == 0);
      const std::size_t at = (out.seq - (kIss + SeqLen(1))).count();
      require(at + out.size <= written_);
      std::vector<std::uint8_t> bytes(out.size);
      require(out.data->copy_out(out.offset, bytes) == out.size);
      for (std::size_t i = 0; i < out.size; ++i) require(bytes[i] == our_byte(at + i));
    });
    const Instant next = connection_->next_timeout();
    require(next > now_);
    const bool open = connection_->state() != tcp::State::kClosed && connection_->state() != tcp::State::kTimeWait;
    if (open && connection_->sender().snd_una() != connection_->sender().snd_nxt()) require(!next.is_never());
  }

  const bool timestamps_;
  const bool sack_;
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
  nic::HeapPool packets_{4'000};
  stream::ChainPool chains_{packets_, 64, 20'000};
  tcp::ReassemblyPool held_{16, 2'000};
  tcp::SentRangePool ranges_{16, 2'000};
  tcp::RecoveryUndoPool undos_{2, 4};
  tcp::TcpConfig config_{.receive_buffer_bytes = 200'000,
                         .initial_receive_buffer_bytes = 20'000,
                         .send_buffer_bytes = 100'000,
                         .initial_send_buffer_bytes = 30'000};
  tcp::Counters counters_;
  tcp::ChallengeLimit challenges_{100};
  tcp::Shared shared_{chains_, held_, ranges_, undos_, config_, counters_, challenges_};
  std::unique_ptr<tcp::Connection> connection_;
  std::size_t written_ = 0;
  std::size_t read_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4'096) return 0;
  Input input({data, size});
  Machine machine(input.byte());
  while (!input.empty()) machine.step(input);
  return 0;
}
