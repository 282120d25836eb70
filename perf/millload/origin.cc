#include "perf/millload/origin.h"

#include <algorithm>

namespace millrace::perf {

class Origin::Connection final : public stream::ByteStreamEvents, public ListNode<> {
 public:
  Connection(Origin& origin, stream::ByteStream& stream)
      : origin_(origin), stream_(stream), in_(origin.chains_), out_(origin.chains_) {}

  void on_connected(stream::ByteStream&, Instant) override {}
  void on_readable(stream::ByteStream&, Instant now) override {
    stream_.read(in_, kMostRead, now);
    while (progress()) {
    }
    if (broken_) return end(true, now);
    flush(now);
    if (out_.empty() && (last_ || (stream_.read_ended() && in_.empty()))) end(false, now);
  }
  void on_writable(stream::ByteStream&, Instant now) override {
    flush(now);
    if (out_.empty() && last_) end(false, now);
  }
  void on_closed(stream::ByteStream&, stream::CloseReason, Instant) override { forget(); }

 private:
  static constexpr std::size_t kMostRead = 1 << 20;

  // One step through what has come: false when more has to come first.
  bool progress() {
    if (in_.empty() || broken_) return false;
    if (body_left_ > 0) return take_body();
    if (last_) return false;
    const auto head = origin_.heads_.next(in_);
    if (!head) return false;
    const auto exchange = read_request_head(*head);
    if (!exchange) return fail("the origin got a request that nobody sent: " + std::string(head->substr(0, 200)));
    in_.remove_prefix(head->size());
    exchange_ = *exchange;
    last_ = exchange->last;
    body_left_ = exchange->request_bytes;
    body_at_ = Pattern::start_of(exchange->number);
    return body_left_ > 0 || answer();
  }

  bool take_body() {
    const std::span<const std::uint8_t> part = in_.front().first(std::min(in_.front().size(), body_left_));
    if (!origin_.pattern_.matches(body_at_, part)) {
      return fail("the body of request " + std::to_string(exchange_.number) + " has wrong bytes " +
                  std::to_string(exchange_.request_bytes - body_left_) + " bytes from its start, or soon after");
    }
    body_at_ += part.size();
    body_left_ -= part.size();
    in_.remove_prefix(part.size());
    return body_left_ > 0 || answer();
  }

  bool answer() {
    HeadBuffer buffer;
    std::size_t start = Pattern::start_of(exchange_.number);
    std::size_t size = exchange_.response_bytes;
    bool room = out_.append_copy(write_response_head(buffer, exchange_));
    const OriginConfig& config = origin_.config_;
    if (config.corrupt_every > 0 && ++origin_.answered_ % config.corrupt_every == 0 && size > 0) {
      room = room && out_.append_copy("\x01");
      ++start;
      --size;
    }
    room = room && origin_.pattern_.append(out_, start, size);
    return room || fail("the origin has no packet buffers left");
  }

  bool fail(std::string what) {
    origin_.failures_.add(std::move(what));
    broken_ = true;
    return false;
  }

  void flush(Instant now) {
    if (!out_.empty()) stream_.write(out_, now);
  }
  void end(bool abruptly, Instant now) {
    abruptly ? stream_.reset(now) : stream_.close(now);
    forget();
  }
  void forget() {
    unlink();
    origin_.connections_.destroy(this);
  }

  Origin& origin_;
  stream::ByteStream& stream_;
  stream::Chain in_;
  stream::Chain out_;
  Exchange exchange_;  // whose body is being read
  std::size_t body_left_ = 0;
  std::size_t body_at_ = 0;
  bool last_ = false;  // the client wants no more after this one
  bool broken_ = false;
};

Origin::Origin(stream::ChainPool& chains, const Pattern& pattern, Failures& failures, const OriginConfig& config)
    : chains_(chains),
      pattern_(pattern),
      failures_(failures),
      config_(config),
      connections_(std::min<std::size_t>(config.max_connections, 1'024), config.max_connections) {}

Origin::~Origin() {
  while (Connection* connection = open_.pop_front()) connections_.destroy(connection);
}

void Origin::on_accept(stream::ByteStream& stream, Instant now) {
  Connection* connection = connections_.make(*this, stream);
  if (connection == nullptr) return stream.reset(now);
  ++accepted_;
  open_.push_back(*connection);
  stream.set_events(*connection);
}

}  // namespace millrace::perf
