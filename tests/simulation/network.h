// A network in one thread on virtual time: ports joined by links, and nodes that have turns, as a worker's thread gives them to a
// worker. The clock goes to the next event: a frame that arrives, or a node's next_due(). Frames are copied from pool to pool.
//
//   Node::turn -> Port::transmit -> Link (fate, arrival) -> heap of frames in flight -> Port's ring -> Node::turn ->
//   Port::receive
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/flow_steering.h"
#include "nic/model/transmit_engine.h"
#include "nic/port.h"
#include "tests/simulation/link.h"

namespace millrace::sim {

class Network;
class Port;

/// Whatever has turns: a host, a gateway's worker.
class Node {
 public:
  virtual ~Node() = default;
  /// As worker::Worker::turn(). True when there may be more to do at once: another turn follows.
  virtual bool turn(Instant now) = 0;
  [[nodiscard]] virtual Instant next_due() const = 0;
};

struct Frame {
  std::size_t size = 0;
  std::array<std::uint8_t, 2048> bytes{};
};

/// One end of a link, as the production code sees it.
class Port final : public nic::Port {
 public:
  static constexpr std::size_t kRing = 1'024;  ///< frames; more are missed, as by a device

  Port(Network& network, Node& node, nic::PacketPool& pool, std::string name, MacAddress mac, std::uint16_t mtu,
       std::uint8_t index, nic::TxOffloads tx = {});

  [[nodiscard]] const nic::PortInfo& info() const override { return info_; }
  std::size_t receive(std::uint16_t queue, std::span<nic::Packet> out) override;
  std::size_t transmit(std::uint16_t queue, std::span<nic::Packet> frames) override;
  /// Before the first frame: a queue for each of the nodes, which all have been added. `rule` tells where a flow goes; `tells`:
  /// the port says so (PortInfo::rss), else users must find out.
  void set_queues(std::span<Node* const> nodes, const RssTable& rule, bool tells);
  [[nodiscard]] nic::PortCounters counters() const override { return counters_; }
  [[nodiscard]] int wait_descriptor(std::uint16_t) const override { return -1; }

  /// The way out; set by Network::join().
  [[nodiscard]] Link& link() { return *link_; }
  /// Frames taken from one transmit() at the most, so that callers have to come again. 0: all.
  void set_transmit_limit(std::size_t frames) { transmit_limit_ = frames; }
  /// For faults that a test seeds: sees each frame before it is put on the link, may change it, false swallows it silently.
  void set_tamper(std::function<bool(std::span<std::uint8_t>, Instant)> tamper) { tamper_ = std::move(tamper); }

 private:
  friend class Network;
  struct Queue {
    std::uint32_t node = 0;
    std::vector<std::uint32_t> ring = std::vector<std::uint32_t>(kRing);
    std::size_t head = 0;
    std::size_t tail = 0;
  };
  void arrive(std::uint32_t frame);
  void send(nic::Packet& packet);

  Network& network_;
  nic::PacketPool& pool_;
  nic::PortInfo info_;
  std::uint8_t index_;
  Port* peer_ = nullptr;
  std::unique_ptr<Link> link_;
  std::vector<Queue> queues_;
  std::optional<FlowSteering> rule_;
  std::size_t transmit_limit_ = 0;
  nic::PortCounters counters_;
  nic::TransmitEngine engine_;
  std::function<bool(std::span<std::uint8_t>, Instant)> tamper_;
};

class Network {
 public:
  explicit Network(std::uint64_t seed, Instant start = Instant::from_nanoseconds(1'000'000'000));
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// `node` outlives the network's last run.
  void add(Node& node);
  /// The node has a turn now.
  void wake(const Node& node) { wake(member_of(node), now_); }
  void join(Port& a, Port& b, const LinkConfig& a_to_b, const LinkConfig& b_to_a);

  [[nodiscard]] Instant now() const { return now_; }
  /// Lets time pass until `end`, or until `done`, asked after each step; true when it was done.
  bool run_until(Instant end, const std::function<bool()>& done = {});
  bool run_for(Duration time, const std::function<bool()>& done = {}) { return run_until(now_ + time, done); }

  /// The node has no turn until then: its thread is not scheduled, and its clock seems to jump. Frames wait in its rings.
  void pause(const Node& node, Instant until);
  [[nodiscard]] bool paused(const Node& node) const;
  /// The least time between two turns of a node: 10 us unless set.
  void set_turn_spacing(Duration spacing) { spacing_ = spacing; }

  /// Called with the node before each turn and with null after it: for those who count what turns cost.
  void set_turn_hook(std::function<void(const Node*)> hook) { turn_hook_ = std::move(hook); }

  /// One line per frame on stderr.
  void set_trace(bool on) { trace_ = on; }
  [[nodiscard]] std::uint64_t frames() const { return frames_; }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

 private:
  friend class Port;
  struct Member {
    Node* node = nullptr;
    Instant due;   // it has a turn then, whatever its own next_due() says
    Instant last;  // turn
    Instant paused_until;
  };
  struct Flight {
    Instant arrival;
    std::uint64_t order = 0;  // frames that arrive together keep their order
    std::uint32_t frame = 0;
    Port* to = nullptr;
  };
  static bool later(const Flight& a, const Flight& b) {
    return a.arrival != b.arrival ? a.arrival > b.arrival : a.order > b.order;
  }

  [[nodiscard]] std::uint32_t member_of(const Node& node) const;
  void wake(std::uint32_t member, Instant at);
  void put(Port& from, std::span<std::uint8_t> bytes);
  void answer_too_big(Port& from, std::span<const std::uint8_t> frame);
  void fly(Port& to, Instant arrival, std::uint32_t frame);
  [[nodiscard]] std::uint32_t take_frame();
  void deliver_frames();
  void give_turns();
  [[nodiscard]] Instant due(const Member& member) const;
  [[nodiscard]] Instant next_event() const;

  Rng rng_;
  Instant now_;
  Duration spacing_ = Duration::microseconds(10);
  std::vector<Member> members_;
  std::vector<Flight> flying_;  // a heap, the next to arrive first
  std::vector<std::unique_ptr<Frame>> frames_memory_;
  std::vector<std::uint32_t> free_frames_;
  std::uint64_t order_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t steps_ = 0;
  bool trace_ = false;
  std::function<void(const Node*)> turn_hook_;
};

}  // namespace millrace::sim
