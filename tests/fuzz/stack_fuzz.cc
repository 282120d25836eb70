// The whole receive path, as an attacker and a few strange peers see it: Ethernet frames through IpLayer into a tcp::Stack with a
// listener behind which everything comes back (an echo), and connections that it opens itself. Pools are so small that they are
// exhausted, backlogs so short that cookies are sent. Checked: what is read and what is sent are the peer's bytes at the right
// places whatever overlaps, everything is bounded, and when all is over nothing is left.
//
// Input: a byte of configuration; then operations. 0x00..0xbf a segment of connection (operation & 7), whose numbers are relative
// to what the stack last said; 0xc0..0xdf the end of a turn and some time; 0xe0..0xe7 the stack connects; 0xe8..0xef users close,
// reset or stop reading; 0xf0..0xff any frame.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <list>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "dataplane/base/rng.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/ip/ip_layer.h"
#include "dataplane/tcp/stack.h"
#include "dataplane/wire/arp.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/endian.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/ipv4.h"
#include "nic/heap_pool.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace millrace;  // NOLINT(google-build-using-namespace)
using fuzz::Input;
using fuzz::require;
using tcp::SeqLen;
using tcp::SeqNum;
using wire::TcpFlags;

const MacAddress kOurMac{{2, 0, 0, 0, 0, 1}};
const MacAddress kPeerMac{{2, 0, 0, 0, 0, 2}};
const IpAddress kUs = IpAddress::v4(198, 18, 0, 2);
const IpAddress kPeer = IpAddress::v4(198, 18, 0, 1);
constexpr std::uint16_t kPort = 80;
constexpr std::size_t kFlows = 8;
constexpr std::size_t kHeaders = wire::kEthernetHeaderBytes + wire::kIpv4HeaderBytes;

// What the peer of every connection has at a place of its stream.
std::uint8_t byte_at(std::size_t offset) { return static_cast<std::uint8_t>(offset * 31 + (offset >> 8)); }

class Echo final : public stream::ByteStreamEvents {
 public:
  explicit Echo(stream::ChainPool& chains) : pending_(chains) {}
  void use(stream::ByteStream& stream) {
    stream_ = &stream;
    stream.set_events(*this);
  }
  void on_connected(stream::ByteStream&, Instant) override {}
  void on_readable(stream::ByteStream&, Instant now) override { pump(now); }
  void on_writable(stream::ByteStream&, Instant now) override { pump(now); }
  void on_closed(stream::ByteStream&, stream::CloseReason, Instant) override {
    stream_ = nullptr;
    pending_.clear();
  }
  void act(std::uint8_t what, Instant now) {
    if (stream_ == nullptr) return;
    switch (what & 3) {
      case 0: stream_->close(now); break;
      case 1: stream_->reset(now); break;
      case 2: stalled_ = !stalled_; return pump(now);
      default: stream_->shutdown_write(now); return;
    }
    stream_ = nullptr;
    pending_.clear();
  }

 private:
  void pump(Instant now) {
    if (stalled_ || stream_ == nullptr) return;
    stream::Chain fresh(pending_.pool());
    if (pending_.size() < 20'000) stream_->read(fresh, 20'000, now);
    fresh.for_each([&](std::span<const std::uint8_t> part) {
      for (const std::uint8_t byte : part) require(byte == byte_at(read_++));
    });
    pending_.append(std::move(fresh));
    stream_->write(pending_, now);
    if (stream_->read_ended() && pending_.empty()) stream_->shutdown_write(now);
  }

  stream::ByteStream* stream_ = nullptr;
  stream::Chain pending_;
  std::size_t read_ = 0;
  bool stalled_ = false;
};

// One connection as its peer remembers it.
struct Flow {
  std::uint16_t peer_port = 0;
  std::uint16_t our_port = kPort;
  SeqNum isn = SeqNum(0xffff'f000);  // the peer's; wraps soon
  std::optional<SeqNum> our_isn;
  std::vector<SeqNum> our_isns;  // all of them: an old cookie opens a connection after a newer one was sent
  SeqNum our_next;               // behind what the stack sent
  SeqNum acked;                  // what the stack has acknowledged
  std::uint32_t echo = 0;        // its last timestamp
};

class Machine final : stream::Acceptor {
 public:
  explicit Machine(std::uint8_t choice)
      : pool_((choice & 1) != 0 ? 60 : 2'000),
        interfaces_{{.mac = kOurMac, .mtu = 1'500, .addresses = {{kUs, 24}}}},
        layer_(interfaces_, {}, timers_, pool_, rng_, now_) {
    tcp::StackConfig config;
    config.secret.fill(choice);
    config.max_connections = 8;
    config.initial_connections = 2;
    config.max_half_open = 6;
    config.syn_backlog = (choice & 2) != 0 ? 0 : 3;
    config.max_time_wait = 3;
    config.max_held_slices = (choice & 4) != 0 ? 3 : 500;
    config.max_sent_ranges = (choice & 8) != 0 ? 4 : 500;
    config.tcp.receive_buffer_bytes = (choice & 16) != 0 ? 3'000 : 200'000;
    config.tcp.initial_receive_buffer_bytes = std::min<std::size_t>(config.tcp.receive_buffer_bytes, 20'000);
    config.tcp.send_buffer_bytes = 100'000;
    config.tcp.initial_send_buffer_bytes = 10'000;
    config.tcp.keep_alive_idle = (choice & 32) != 0 ? Duration::seconds(10) : Duration::infinite();
    stack_.emplace(layer_, timers_, chains_, rng_, config);
    require(stack_->listen({kUs, kPort}, *this).has_value());
    for (std::size_t i = 0; i < kFlows; ++i) flows_[i].peer_port = static_cast<std::uint16_t>(1'000 + i);
    introduce();
  }
  ~Machine() {
    stack_->reset_all(now_);
    stack_->flush(now_);
    for (int i = 0; i < 6; ++i) turn(Duration::seconds(100));
    require(stack_->connections() == 0 && stack_->half_open() == 0 && stack_->time_wait() == 0);
    require(stack_->gauges().bytes_queued == 0);
    stack_.reset();
    users_.clear();
    require(pool_.in_use() == 0 && chains_.nodes_in_use() == 0);
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  void on_accept(stream::ByteStream& stream, Instant) override { users_.emplace_back(chains_).use(stream); }

  void segment(std::uint8_t which, Input& input) {
    Flow& flow = flows_[which % kFlows];
    const std::uint8_t kind = input.byte();
    const std::uint8_t place = input.byte();
    wire::TcpFields fields{.source_port = flow.peer_port, .destination_port = flow.our_port, .window = 20'000};
    // Most often what a good peer would do; else near it, else anything.
    fields.flags = (kind & 1) != 0 ? input.byte() : (flow.our_isn ? TcpFlags::kAck : TcpFlags::kSyn);
    const bool syn = (fields.flags & TcpFlags::kSyn) != 0;
    SeqNum seq = syn ? flow.isn : flow.our_isn ? flow.acked : flow.isn + SeqLen(1);
    // A SYN has the one number from which the peer counts its bytes.
    if ((kind & 2) != 0 && !syn) seq += SeqLen(static_cast<std::uint32_t>(static_cast<std::int8_t>(place)) * 100);
    if ((kind & 4) != 0 && !syn) seq = SeqNum(input.word() << 16 | input.word());
    SeqNum ack = flow.our_next;
    if ((kind & 8) != 0) ack = ack - SeqLen(place);
    if ((kind & 16) != 0) ack = SeqNum(input.word() << 16 | input.word());
    if ((kind & 32) != 0) fields.window = input.word();
    fields.seq = seq.raw();
    fields.ack = ack.raw();
    fields.options.timestamps = {{.value = static_cast<std::uint32_t>(now_.to_nanoseconds() / 1'000'000), .echo = flow.echo}};
    if (syn) {
      fields.options.mss = 1'000;
      fields.options.window_scale = std::uint8_t{2};
      fields.options.sack_permitted = true;
    }
    if ((kind & 64) != 0) {
      fields.options = {};
      if (syn && (place & 1) != 0) fields.options.mss = input.word();
    }
    const std::span<const std::uint8_t> raw =
        (kind & 128) != 0 ? input.take(input.byte() & 39u) : std::span<const std::uint8_t>();
    const std::size_t payload = (place & 3) == 3 ? input.word() % 1'400u : (place & 3) * 500u;
    send(fields, raw, seq, payload, flow);
  }
  void connect(std::uint8_t what) {
    Flow& flow = flows_[what % kFlows];
    users_.emplace_back(chains_);
    stream::CloseReason reason{};
    stream::ByteStream* stream = stack_->connect({kPeer, flow.peer_port}, users_.back(), reason, now_);
    if (stream == nullptr) return;
    flow.our_port = stream->local_address().port;
    flow.our_isn.reset();
    users_.back().use(*stream);
  }
  void users_act(std::uint8_t what) {
    for (Echo& user : users_) user.act(what, now_);
  }
  void frame(std::span<const std::uint8_t> bytes) {
    nic::Packet copy = pool_.copy_of(bytes);
    if (copy) deliver(std::move(copy));
  }
  void turn(Duration time) {
    stack_->end_burst(now_);
    now_ = now_ + time;
    timers_.advance(now_);
    stack_->flush(now_);
    take_outgoing();
    require(stack_->connections() <= 8 && stack_->half_open() <= 6 && stack_->time_wait() <= 3);
  }

 private:
  // The peer asks for us: now it is known, and need not be asked for its address.
  void introduce() {
    std::array<std::uint8_t, wire::kEthernetHeaderBytes + wire::kArpBytes> request{};
    wire::write_ethernet_header(request, kOurMac, kPeerMac, wire::kEtherTypeArp);
    wire::ArpMessage{wire::ArpMessage::Operation::kRequest, kPeerMac, kPeer, {}, kUs}.write(
        std::span(request).subspan(wire::kEthernetHeaderBytes));
    frame(request);
    take_outgoing();
  }

  void send(const wire::TcpFields& fields, std::span<const std::uint8_t> raw, SeqNum seq, std::size_t payload, const Flow& flow) {
    std::vector<std::uint8_t> bytes(kHeaders + wire::kTcpMaxHeaderBytes + payload);
    const std::span<std::uint8_t> tcp = std::span(bytes).subspan(kHeaders);
    std::size_t header = raw.empty() ? wire::tcp_header_size(fields.options) : wire::kTcpMinHeaderBytes;
    wire::TcpFields written = fields;
    if (!raw.empty()) written.options = {};
    wire::write_tcp_header(tcp.first(header), written);
    if (!raw.empty()) {
      std::copy(raw.begin(), raw.end(), tcp.begin() + static_cast<std::ptrdiff_t>(header));
      header += (raw.size() + 3) / 4 * 4;
      tcp[12] = static_cast<std::uint8_t>(header / 4 << 4);
    }
    const SeqNum first = (fields.flags & TcpFlags::kSyn) != 0 ? seq + SeqLen(1) : seq;
    for (std::size_t i = 0; i < payload; ++i) tcp[header + i] = byte_at((first - (flow.isn + SeqLen(1))).count() + i);
    const std::size_t length = header + payload;
    wire::write_ethernet_header(bytes, kOurMac, kPeerMac, wire::kEtherTypeIpv4);
    wire::write_ipv4_header(std::span(bytes).subspan(wire::kEthernetHeaderBytes),
                            {.source = kPeer,
                             .destination = kUs,
                             .payload_length = static_cast<std::uint16_t>(length),
                             .protocol = ip::kProtocolTcp});
    const std::uint32_t pseudo = wire::pseudo_header_sum(kPeer, kUs, ip::kProtocolTcp, static_cast<std::uint32_t>(length));
    wire::store_be16(tcp.data() + wire::kTcpChecksumOffset, wire::checksum_finish(wire::checksum_add(pseudo, tcp.first(length))));
    frame(std::span(bytes).first(kHeaders + length));
  }

  void deliver(nic::Packet packet) {
    auto received = layer_.receive(std::move(packet), now_);
    if (auto* datagram = std::get_if<ip::Datagram>(&received)) {
      stack_->on_datagram(std::move(*datagram), now_);
    } else if (const auto* error = std::get_if<ip::TransportError>(&received)) {
      stack_->on_transport_error(*error, now_);
    }
  }

  void take_outgoing() {
    bool asked = false;
    const auto frames = layer_.outgoing(0);
    for (nic::Packet& frame : frames) {
      asked |= look_at(std::as_const(frame).bytes());
      frame = {};
    }
    layer_.outgoing_taken(0, frames.size());
    if (asked) introduce();
  }

  // True: it is the question for the peer's address.
  bool look_at(std::span<const std::uint8_t> frame) {
    const auto ethernet = wire::EthernetView::parse(frame);
    require(ethernet.has_value());
    if (ethernet->type == wire::kEtherTypeArp) {
      const auto message = wire::ArpMessage::parse(frame.subspan(wire::kEthernetHeaderBytes));
      return message && message->operation == wire::ArpMessage::Operation::kRequest && message->target == kPeer;
    }
    if (ethernet->type != wire::kEtherTypeIpv4) return false;
    const auto packet = wire::Ipv4View::parse(frame.subspan(wire::kEthernetHeaderBytes), false);
    require(packet && packet->total_length <= 1'500);
    if (packet->protocol != ip::kProtocolTcp || packet->destination != kPeer) return false;
    const auto bytes = frame.subspan(kHeaders, packet->total_length - wire::kIpv4HeaderBytes);
    const auto header = wire::TcpHeaderView::parse(bytes);
    const std::uint32_t pseudo = wire::pseudo_header_sum(kUs, kPeer, ip::kProtocolTcp, static_cast<std::uint32_t>(bytes.size()));
    require(header && wire::checksum_finish(wire::checksum_add(pseudo, bytes)) == 0);
    for (Flow& flow : flows_) {
      if (flow.peer_port == header->destination_port && flow.our_port == header->source_port)
        remember(flow, *header, bytes.subspan(header->header_size));
    }
    return false;
  }

  static void remember(Flow& flow, const wire::TcpHeaderView& header, std::span<const std::uint8_t> data) {
    if (header.has(TcpFlags::kRst)) {
      flow.our_isn.reset();
      flow.our_port = kPort;
      return;
    }
    if (header.options.timestamps) flow.echo = header.options.timestamps->value;
    const SeqNum seq(header.seq);
    if (header.has(TcpFlags::kSyn)) {
      flow.our_isn = seq;
      flow.our_isns.push_back(seq);
      flow.our_next = seq + SeqLen(1);
      flow.acked = header.has(TcpFlags::kAck) ? SeqNum(header.ack) : flow.isn;
      return;
    }
    if (!flow.our_isn) return;
    flow.acked = SeqNum(header.ack);
    const SeqNum end = seq + SeqLen(data.size() + (header.has(TcpFlags::kFin) ? 1u : 0u));
    flow.our_next = later(flow.our_next, end);
    // It is an echo of what the peer has sent, whose places the peer knows.
    require(std::ranges::any_of(flow.our_isns, [&](SeqNum isn) {
      std::size_t offset = (seq - (isn + SeqLen(1))).count();
      return std::ranges::all_of(data, [&](std::uint8_t byte) { return byte == byte_at(offset++); });
    }));
  }

  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
  nic::HeapPool pool_;
  TimerWheel timers_{now_};
  Rng rng_{1};
  stream::ChainPool chains_{pool_, 16, 4'000};
  std::vector<ip::InterfaceConfig> interfaces_;
  ip::IpLayer layer_;
  std::optional<tcp::Stack> stack_;
  std::list<Echo> users_;
  std::array<Flow, kFlows> flows_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input({data, size});
  Machine machine(input.byte());
  while (!input.empty()) {
    const std::uint8_t operation = input.byte();
    if (operation < 0xc0) {
      machine.segment(operation, input);
    } else if (operation < 0xe0) {
      machine.turn(Duration::microseconds((std::int64_t{1} << (operation & 31)) / 16));
    } else if (operation < 0xe8) {
      machine.connect(operation);
    } else if (operation < 0xf0) {
      machine.users_act(operation);
    } else {
      machine.frame(input.take(input.byte()));
    }
  }
  return 0;
}
