#include <algorithm>
#include <utility>

#include "dataplane/base/assert.h"
#include "tests/simulation/http_keys.h"
#include "tests/simulation/http_program.h"

namespace millrace::sim {
namespace {

constexpr Duration kRetryWithoutBuffers = Duration::milliseconds(20);
constexpr Duration kBeforeReset = Duration::milliseconds(30);  // for what was said to arrive
constexpr Duration kBetweenDrops = Duration::milliseconds(5);
constexpr std::size_t kDropBytes = 64;

}  // namespace

class HttpOrigin::Connection final : public stream::ByteStreamEvents {
 public:
  Connection(HttpOrigin& origin, stream::ByteStream& stream, Instant now)
      : origin_(origin),
        stream_(&stream),
        in_(origin.host_.chains()),
        out_(origin.host_.chains()),
        timer_(Timer::calling<&Connection::on_timer>(*this)),
        patience_timer_(Timer::calling<&Connection::on_patience_timer>(*this)) {
    stream.set_events(*this);
    progress(now);
  }

  void on_connected(stream::ByteStream&, Instant) override {}
  void on_writable(stream::ByteStream&, Instant now) override { fill(now); }
  void on_closed(stream::ByteStream&, stream::CloseReason, Instant) override { finish(); }
  void on_readable(stream::ByteStream& stream, Instant now) override {
    progress(now);
    stream.read(in_, 1 << 20, now);
    look(now);
  }

  /// What was said last may not have arrived yet.
  void drop(Instant now) {
    if (stream_ != nullptr) reset(now);
  }

 private:
  RequestTable& table() { return origin_.table_; }
  void progress(Instant now) { origin_.host_.program_timers().arm(patience_timer_, now + table().patience); }

  void finish() {
    stream_ = nullptr;
    in_.clear();
    out_.clear();
    timer_.disarm();
    patience_timer_.disarm();
  }
  void on_patience_timer(Instant now) {  // kept alive by the gateway, or forgotten by it
    stream_->close(now);
    finish();
  }
  void on_timer(Instant now) {
    if (breaking_) return reset(now);
    if (!answering_) start_answer(now);
    fill(now);
  }

  // One request after the other: the next is looked at when the answer is written.
  void look(Instant now) {
    while (!in_.empty() && !reader_.complete() && !reader_.bad()) {
      in_.remove_prefix(reader_.feed(in_.front()));
      if (!reader_.head_complete() || reader_.body_bytes() > 0) continue;
      number_ = reader_.number_field("x-request").value_or(~std::uint64_t{0});
      reader_.expect_pattern(request_key(number_));
      is_copy_ = reader_.field("host").value_or("").ends_with("-shadow");
      if (number_ < table().rows.size() && !std::exchange(head_seen_, true) && !on_head(now)) return;
    }
    if (reader_.bad() || (reader_.head_complete() && number_ >= table().rows.size())) {
      table().findings.add("an origin got what is no request of ours: " + std::string(reader_.start_line()));
      stream_->reset(now);
      return finish();
    }
    if (breaking_ || hanging_) {  // nothing more is said
      if (stream_->read_ended()) reset(now);
      return;
    }
    if (reader_.complete() && answered_early_ && !answering_) return next_request(now);
    if (reader_.complete() && !waiting_) return on_request(now);
    if (stream_->read_ended() && !waiting_) {
      stream_->close(now);
      finish();
    }
  }

  // False: that was the end of the connection.
  bool on_head(Instant now) {
    RequestTable::Row& row = table().rows[number_];
    try_ = nullptr;
    if (is_copy_) return true;
    const std::uint64_t attempt = reader_.number_field("x-envoy-attempt-count").value_or(1);
    try_ = &row.tries.emplace_back(TryRecord{.attempt = static_cast<std::uint32_t>(attempt), .seen = now});
    fails_ = row.tries.size() <= row.plan.failed_tries;
    if (!fails_ || !row.plan.fails_early) return true;
    if (row.plan.failure == RequestPlan::Failure::kReset) return reset(now), false;
    waiting_ = answered_early_ = true;
    start_answer(now);
    fill(now);
    return stream_ != nullptr;
  }

  void reset(Instant now) {
    note_break();
    stream_->reset(now);
    finish();
  }

  void next_request(Instant now) {
    answered_early_ = waiting_ = head_seen_ = fails_ = false;
    reader_.restart();
    look(now);
  }

  void on_request(Instant now) {
    RequestTable::Row& row = table().rows[number_];
    if (!is_copy_) ++row.arrivals;
    const std::string who = "request " + std::to_string(number_) + ": ";
    if (reader_.wrong_bytes() > 0)
      table().findings.add(who + std::to_string(reader_.wrong_bytes()) + " wrong bytes at the origin");
    if (reader_.body_bytes() != row.plan.request_bytes) {
      table().findings.add(who + "arrived with " + std::to_string(reader_.body_bytes()) + " bytes, not " +
                           std::to_string(row.plan.request_bytes));
    }
    if (fails_ && row.plan.failure == RequestPlan::Failure::kReset) return reset(now);
    waiting_ = true;
    origin_.host_.program_timers().arm(timer_, now + row.plan.origin_delay);
  }

  void start_answer(Instant now) {
    const RequestPlan& plan = table().rows[number_].plan;
    answering_ = true;
    if (fails_ && fail(plan, now)) return;
    note_status(200);
    std::string head = "HTTP/1.1 200 OK\r\nx-request: " + std::to_string(number_) + "\r\n";
    if (plan.origin_closes) head += "connection: close\r\n";
    const std::uint64_t whose = origin_.mixed_up_ ? number_ + 1 : number_;
    writer_.start(std::move(head), response_key(whose), plan.response_bytes, plan.chunked_response);
    progress(now);
  }

  // Copies of requests have no tries.
  void note_status(int status) {
    if (try_ != nullptr) try_->status = status;
  }
  void note_break() {
    if (try_ != nullptr) try_->broken = true;
  }

  // False: it begins as a good answer.
  bool fail(const RequestPlan& plan, Instant now) {
    using Failure = RequestPlan::Failure;
    const auto say = [&](std::string_view text) {
      static_cast<void>(out_.append_copy(text));  // or nothing
      stream_->write(out_, now);
    };
    progress(now);
    switch (plan.failure) {
      case Failure::kStatus:
        note_status(plan.failure_status);
        writer_.start(
            "HTTP/1.1 " + std::to_string(plan.failure_status) + " Failure\r\nx-request: " + std::to_string(number_) + "\r\n",
            response_key(number_), plan.response_bytes % 2, false);
        return true;
      case Failure::kGarbage:
        hanging_ = true;
        note_break();
        say("SSH-2.0-origin\r\n\r\n");
        break;
      case Failure::kHang: hanging_ = true; break;
      case Failure::kResetInHead: say("HTTP/1.1 200 O"); [[fallthrough]];
      case Failure::kReset:
        breaking_ = true;
        note_break();
        origin_.host_.program_timers().arm(timer_, now + kBeforeReset);
        break;
      case Failure::kResetInBody: return false;
    }
    answering_ = false;
    return true;
  }

  void fill(Instant now) {
    if (stream_ == nullptr || !answering_ || timer_.is_armed()) return;
    progress(now);
    const RequestPlan& plan = table().rows[number_].plan;
    if (plan.trickles && !fails_) return trickle(now);
    if (fails_ && plan.failure == RequestPlan::Failure::kResetInBody) {
      if (!writer_.produce(out_)) return origin_.host_.program_timers().arm(timer_, now + kRetryWithoutBuffers);
      stream_->write(out_, now);
      breaking_ = true;
      return origin_.host_.program_timers().arm(timer_, now + kBeforeReset);
    }
    while (!out_.empty() || !writer_.complete()) {
      if (out_.empty() && !writer_.produce(out_)) return origin_.host_.program_timers().arm(timer_, now + kRetryWithoutBuffers);
      stream_->write(out_, now);
      if (!out_.empty()) return;
    }
    end_answer(now);
  }

  void end_answer(Instant now) {
    answering_ = false;
    if (table().rows[number_].plan.origin_closes && !fails_) {
      stream_->close(now);
      return finish();
    }
    if (origin_.answers_twice_ && std::exchange(said_once_, true) == false) return start_answer(now), fill(now);
    said_once_ = false;
    if (reader_.complete()) next_request(now);
  }

  void trickle(Instant now) {
    if (out_.empty() && !writer_.complete() && !writer_.produce(out_))
      return origin_.host_.program_timers().arm(timer_, now + kRetryWithoutBuffers);
    stream::Chain drop(origin_.host_.chains());
    if (out_.move_prefix(std::min(kDropBytes, out_.size()), drop)) stream_->write(drop, now);
    if (stream_ == nullptr) return;
    drop.append(std::move(out_));  // what was not taken comes first
    out_.append(std::move(drop));
    if (!out_.empty() || !writer_.complete()) return origin_.host_.program_timers().arm(timer_, now + kBetweenDrops);
    end_answer(now);
  }

  HttpOrigin& origin_;
  stream::ByteStream* stream_;
  stream::Chain in_;
  stream::Chain out_;
  HttpReader reader_;
  HttpWriter writer_;
  std::uint64_t number_ = 0;
  TryRecord* try_ = nullptr;  // the present or last one; in the table, which never lets go of it
  bool waiting_ = false;      // for the time to answer, or answering
  bool answering_ = false;
  bool head_seen_ = false;
  bool fails_ = false;     // this try
  bool is_copy_ = false;   // of a request that was mirrored
  bool breaking_ = false;  // a reset follows
  bool hanging_ = false;   // nothing follows
  bool answered_early_ = false;
  bool said_once_ = false;
  Timer timer_;
  Timer patience_timer_;
};

HttpOrigin::HttpOrigin(Host& host, RequestTable& table, std::uint16_t port) : host_(host), table_(table), port_(port) {
  listen();
}

HttpOrigin::~HttpOrigin() = default;

void HttpOrigin::on_accept(stream::ByteStream& stream, Instant now) {
  connections_.push_back(std::make_unique<Connection>(*this, stream, now));
}

void HttpOrigin::crash(Instant now) {
  connections_.clear();
  host_.crash(now);
  listener_ = nullptr;
  listen();
}

void HttpOrigin::listen() {
  if (listener_ != nullptr) return;
  const auto listener = host_.tcp().listen({host_.config().addresses[0].address, port_}, *this);
  MR_ASSERT(listener.has_value());
  listener_ = *listener;
}

void HttpOrigin::refuse(Instant now) {
  if (listener_ == nullptr) return;
  refuses_since_ = now;
  host_.tcp().close_listener(*std::exchange(listener_, nullptr), now);
  for (const auto& connection : connections_) connection->drop(now);
}

}  // namespace millrace::sim
