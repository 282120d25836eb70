#include "perf/millload/clients.h"

#include <algorithm>

#include "dataplane/base/assert.h"

namespace millrace::perf {
namespace {

// Opened in one turn: as many as a burst of packets.
constexpr std::size_t kOpenedPerTurn = 32;
constexpr std::size_t kMostRead = 1 << 20;

}  // namespace

class Clients::Connection final : public stream::ByteStreamEvents, public ListNode<> {
 public:
  Connection(Clients& clients, std::size_t index)
      : clients_(clients), target_(index % clients.config_.targets.size()), in_(clients.chains_), out_(clients.chains_) {
    under_way_.resize(clients.config_.pipeline);
  }

  [[nodiscard]] bool open(Instant now) {
    stream::CloseReason reason{};
    stream_ = clients_.connector_.connect(clients_.config_.targets[target_], *this, reason, now);
    left_ = clients_.config_.requests_per_connection > 0 ? clients_.config_.requests_per_connection : UINT64_MAX;
    return stream_ != nullptr;
  }
  void close(Instant now) {
    if (stream_ != nullptr) stream_->reset(now);
    stream_ = nullptr;
  }
  /// The next request, which should have been sent at `due`. There is room.
  void send(Instant due) {
    Exchange exchange{.number = clients_.numbers_++,
                      .request_bytes = clients_.config_.request_bytes,
                      .response_bytes = clients_.config_.response_bytes,
                      .last = --left_ == 0};
    HeadBuffer buffer;
    const bool room = out_.append_copy(write_request_head(buffer, exchange, clients_.hosts_[target_])) &&
                      clients_.pattern_.append(out_, Pattern::start_of(exchange.number), exchange.request_bytes);
    if (!room) clients_.failures_.add("the clients have no packet buffers left");
    under_way_[(first_ + count_++) % under_way_.size()] = {exchange.number, due};
  }
  void flush(Instant now) {
    if (!out_.empty()) stream_->write(out_, now);
  }

  void on_connected(stream::ByteStream&, Instant now) override {
    ++clients_.open_;
    ++clients_.opened_;
    connected_ = true;
    if (clients_.observed_ != nullptr) ++clients_.observed_->connects;
    ready(now);
  }
  void on_readable(stream::ByteStream&, Instant now) override {
    stream_->read(in_, kMostRead, now);
    while (progress(now)) {
    }
    if (broken_) {
      stream_->reset(now);
      return ended(false);
    }
    if (stream_->read_ended() && in_.empty()) {
      const bool expected = count_ == 0;
      stream_->close(now);
      return ended(expected);
    }
    ready(now);
  }
  void on_writable(stream::ByteStream&, Instant now) override { flush(now); }
  void on_closed(stream::ByteStream&, stream::CloseReason, Instant) override { ended(false); }

 private:
  struct UnderWay {
    std::uint64_t number = 0;
    Instant due;
  };

  // As many requests as may be under way: at once, or when they are due.
  void ready(Instant now) {
    if (clients_.config_.rate > 0) {
      if (count_ == 0 && left_ > 0 && !is_linked()) clients_.idle_.push_back(*this);
      return;
    }
    while (count_ < under_way_.size() && left_ > 0 && !clients_.stopped_) send(now);
    flush(now);
  }

  // One step through what has come: false when more has to come first.
  bool progress(Instant now) {
    if (in_.empty() || broken_) return false;
    return in_body_ ? take_body(now) : take_head(now);
  }

  bool take_head(Instant now) {
    const auto head = clients_.heads_.next(in_);
    if (!head) return false;
    if (count_ == 0) return fail("a response came that nobody asked for: " + std::string(head->substr(0, 200)));
    const UnderWay& request = under_way_[first_];
    const auto response = read_response_head(*head);
    if (!response || response->status != 200 || response->body_bytes != clients_.config_.response_bytes) {
      return fail("request " + std::to_string(request.number) + " wanted 200 with " +
                  std::to_string(clients_.config_.response_bytes) + " bytes and got: " + std::string(head->substr(0, 300)));
    }
    in_.remove_prefix(head->size());
    body_at_ = Pattern::start_of(request.number);
    body_left_ = response->body_bytes;
    in_body_ = true;
    return body_left_ > 0 || complete(now);
  }

  bool take_body(Instant now) {
    const std::span<const std::uint8_t> part = in_.front().first(std::min(in_.front().size(), body_left_));
    if (!clients_.pattern_.matches(body_at_, part)) {
      return fail("the response to request " + std::to_string(under_way_[first_].number) + " has wrong bytes " +
                  std::to_string(clients_.config_.response_bytes - body_left_) +
                  " bytes from the start of its body, or soon after");
    }
    body_at_ += part.size();
    body_left_ -= part.size();
    in_.remove_prefix(part.size());
    return body_left_ > 0 || complete(now);
  }

  bool complete(Instant now) {
    in_body_ = false;
    const Instant due = under_way_[first_].due;
    first_ = (first_ + 1) % under_way_.size();
    --count_;
    clients_.count_response(due, now);
    return true;
  }

  bool fail(std::string what) {
    clients_.failures_.add(std::move(what));
    broken_ = true;
    return false;
  }

  void ended(bool expected) {
    if (!expected) clients_.count_refused();
    if (connected_) --clients_.open_;
    stream_ = nullptr;
    connected_ = broken_ = in_body_ = false;
    first_ = count_ = 0;
    in_.clear();
    out_.clear();
    unlink();
    clients_.closed_.push_back(*this);
    --clients_.active_;
    ++clients_.ended_;
  }

  Clients& clients_;
  const std::size_t target_;
  stream::ByteStream* stream_ = nullptr;
  stream::Chain in_;
  stream::Chain out_;
  std::vector<UnderWay> under_way_;  // a ring: count_ from first_ on
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::uint64_t left_ = 0;  // requests that the connection may still send
  std::size_t body_left_ = 0;
  std::size_t body_at_ = 0;
  bool in_body_ = false;
  bool connected_ = false;
  bool broken_ = false;
};

Clients::Clients(stream::Connector& connector, stream::ChainPool& chains, const Pattern& pattern, Failures& failures,
                 const LoadConfig& config)
    : connector_(connector), chains_(chains), pattern_(pattern), failures_(failures), config_(config) {
  MR_ASSERT(!config.targets.empty() && config.pipeline > 0 && config.pipeline <= kMostPipelined);
  if (config.rate > 0) interval_ = Duration::nanoseconds(static_cast<std::int64_t>(1e9 / config.rate));
  for (const SocketAddress& target : config.targets) hosts_.push_back(target.to_string());
  connections_.reserve(config.connections);
  for (std::size_t i = 0; i < config.connections; ++i) {
    closed_.push_back(*connections_.emplace_back(std::make_unique<Connection>(*this, i)));
  }
}

Clients::~Clients() = default;

void Clients::pace(Instant now) {
  if (stopped_) return;
  if (started_.is_never()) started_ = now;
  open_connections(now);
  if (config_.rate > 0) send_due(now);
}

void Clients::open_connections(Instant now) {
  std::size_t wanted = config_.connections;
  if (config_.once) wanted -= std::min<std::size_t>(ended_, wanted);
  if (now < started_ + config_.ramp) {
    const double share =
        static_cast<double>((now - started_).to_nanoseconds()) / static_cast<double>(config_.ramp.to_nanoseconds());
    wanted = static_cast<std::size_t>(share * static_cast<double>(wanted)) + 1;
  }
  for (std::size_t i = 0; i < kOpenedPerTurn && active_ < wanted; ++i) {
    Connection& connection = closed_.front();
    connection.unlink();
    if (!connection.open(now)) {
      count_refused();
      closed_.push_back(connection);
      if (config_.once) ++ended_;
      return;
    }
    ++active_;
  }
}

void Clients::send_due(Instant now) {
  if (next_due_.is_never()) {
    if (!all_open()) return;  // the load begins when all connections can carry it
    next_due_ = now;
  }
  for (; next_due_ <= now; next_due_ = next_due_ + interval_) due_.push_back(next_due_);
  while (!due_.empty() && !idle_.empty()) {
    Connection& connection = idle_.front();
    connection.unlink();
    connection.send(due_.front());
    due_.pop_front();
    connection.flush(now);
  }
}

void Clients::count_response(Instant due, Instant now) {
  ++requests_;
  if (observed_ == nullptr) return;
  ++observed_->requests;
  observed_->latency.record(now - due);
  if (due > disturbed_) observed_->undisturbed.record(now - due);
}

void Clients::stop(Instant now) {
  stopped_ = true;
  for (const auto& connection : connections_) connection->close(now);
}

}  // namespace millrace::perf
