#include <algorithm>

#include "tests/simulation/http_keys.h"
#include "tests/simulation/http_program.h"
#include "tests/simulation/retry_oracle.h"

namespace millrace::sim {
namespace {

constexpr Duration kRetryWithoutBuffers = Duration::milliseconds(20);
constexpr Duration kReconnectAfter = Duration::milliseconds(10);
constexpr std::size_t kSlowReadBytes = 4'096;

}  // namespace

bool RequestTable::over() const {
  return std::ranges::all_of(rows, [](const Row& row) { return row.result != Result::kNone; });
}

std::size_t RequestTable::count(Result result) const {
  return static_cast<std::size_t>(std::ranges::count(rows, result, &Row::result));
}

void RequestTable::judge() {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string who = "request " + std::to_string(i) + ": ";
    if (rows[i].result == Result::kNone) findings.add(who + "never ended");
    if (rows[i].result == Result::kAnswered && rows[i].arrivals == 0) findings.add(who + "was answered by nobody");
  }
  judge_retries(*this);
}

HttpClient::HttpClient(Host& host, RequestTable& table, const SocketAddress& gateway, std::vector<std::uint64_t> requests,
                       Duration read_pause, Instant start)
    : host_(host),
      table_(table),
      gateway_(gateway),
      requests_(std::move(requests)),
      read_pause_(read_pause),
      out_(host.chains()),
      timer_(Timer::calling<&HttpClient::on_timer>(*this)),
      read_timer_(Timer::calling<&HttpClient::on_read_timer>(*this)),
      patience_timer_(Timer::calling<&HttpClient::on_patience_timer>(*this)) {
  host_.program_timers().arm(timer_, start);
}

void HttpClient::complain(const std::string& text) {
  table_.findings.add("request " + std::to_string(requests_[std::min(next_, requests_.size() - 1)]) + ": " + text);
}

void HttpClient::on_timer(Instant now) {
  if (asking_) return fill(now);
  begin(now);
}

void HttpClient::begin(Instant now) {
  if (next_ == requests_.size()) return;
  asking_ = true;
  const std::uint64_t number = requests_[next_];
  const RequestPlan& plan = row().plan;
  row().asked = now;
  const std::string path = plan.high_priority ? "/high" : "/request";
  writer_.start("POST " + path + " HTTP/1.1\r\nhost: sim\r\nx-request: " + std::to_string(number) + "\r\n", request_key(number),
                plan.request_bytes, plan.chunked_request);
  host_.program_timers().arm(patience_timer_, now + table_.patience);
  if (stream_ != nullptr) return fill(now);
  stream::CloseReason reason{};
  stream_ = host_.tcp().connect(gateway_, *this, reason, now);
  if (stream_ == nullptr) {
    if (!table_.may_fail(row())) complain(std::string("could not connect: ") + to_text(reason));
    conclude(RequestTable::Result::kBroken, now);
  }
}

void HttpClient::on_connected(stream::ByteStream&, Instant now) {
  connected_ = true;
  fill(now);
}
void HttpClient::on_writable(stream::ByteStream&, Instant now) { fill(now); }

void HttpClient::fill(Instant now) {
  if (!asking_ || !connected_ || timer_.is_armed()) return;
  while (!out_.empty() || !writer_.complete()) {
    if (out_.empty() && !writer_.produce(out_)) return host_.program_timers().arm(timer_, now + kRetryWithoutBuffers);
    stream_->write(out_, now);
    if (!out_.empty()) return;
  }
}

void HttpClient::on_read_timer(Instant now) { drain(now); }
void HttpClient::on_readable(stream::ByteStream& stream, Instant now) {
  if (!read_timer_.is_armed() || stream.read_ended()) drain(now);
}

void HttpClient::drain(Instant now) {
  while (stream_ != nullptr && stream_->readable() > 0) {
    stream::Chain chain(host_.chains());
    stream_->read(chain, read_pause_ > Duration() ? kSlowReadBytes : 1 << 20, now);
    host_.program_timers().arm(patience_timer_, now + table_.patience);
    while (!chain.empty()) {
      if (!asking_) return complain("bytes behind the last answer"), drop_connection(now);
      chain.remove_prefix(reader_.feed(chain.front()));
      if (reader_.bad()) {
        complain("an answer that is no HTTP: " + std::string(reader_.start_line()));
        drop_connection(now);
        return conclude(RequestTable::Result::kBroken, now);
      }
      if (reader_.head_complete() && reader_.body_bytes() == 0) on_head();
      if (reader_.body_bytes() >= row().plan.abandon_at) {
        drop_connection(now);
        return conclude(RequestTable::Result::kAbandoned, now);
      }
      if (reader_.complete()) on_answer(now);
      if (stream_ == nullptr) return;
    }
    if (read_pause_ > Duration() && !stream_->read_ended()) return host_.program_timers().arm(read_timer_, now + read_pause_);
  }
  if (stream_ == nullptr || !stream_->read_ended()) return;
  // The gateway has ended its side: what was asked remains unanswered.
  drop_connection(now);
  if (!asking_) return;
  if (!table_.may_fail(row())) complain("the gateway ended the connection without an answer");
  conclude(RequestTable::Result::kBroken, now);
}

void HttpClient::on_head() {
  reader_.expect_pattern(response_key(requests_[next_]));
  row().told_attempts = static_cast<std::uint32_t>(reader_.number_field("x-envoy-attempt-count").value_or(0));
}

// In place of the good answer.
bool HttpClient::may_be_told(int status) const {
  const RequestPlan& plan = row().plan;
  if (plan.may_overflow && status == 503 && reader_.field("x-envoy-overloaded") == "true") return true;
  return table_.may_fail(row()) && (status >= 500 || status == plan.failure_status);
}

void HttpClient::on_answer(Instant now) {
  const std::uint64_t number = requests_[next_];
  const RequestPlan& plan = row().plan;
  const int status = reader_.status();
  const bool keep = reader_.field("connection") != "close" && writer_.complete() && out_.empty();
  RequestTable::Result result = RequestTable::Result::kErrorAnswer;
  if (reader_.number_field("x-request").value_or(number) != number) complain("answered with the answer to another request");
  if (status == 200) {
    result = RequestTable::Result::kAnswered;
    if (reader_.wrong_bytes() > 0) complain("its answer has " + std::to_string(reader_.wrong_bytes()) + " wrong bytes");
    if (reader_.body_bytes() != plan.response_bytes) {
      complain("its answer has " + std::to_string(reader_.body_bytes()) + " bytes, not " + std::to_string(plan.response_bytes));
    }
  } else if (!may_be_told(status)) {
    complain("answered with " + std::string(reader_.start_line()));
  }
  if (!keep) drop_connection(now);
  conclude(result, now);
}

void HttpClient::conclude(RequestTable::Result result, Instant now) {
  if (row().result != RequestTable::Result::kNone) complain("answered twice");
  row().result = result;
  asking_ = false;
  reader_.restart();
  patience_timer_.disarm();
  ++next_;
  if (next_ == requests_.size()) {
    if (stream_ != nullptr) drop_connection(now);
    return;
  }
  host_.program_timers().arm(timer_, now + std::max(row().plan.think, stream_ == nullptr ? kReconnectAfter : Duration()));
}

// In good order where nothing is under way, else by a reset.
void HttpClient::drop_connection(Instant now) {
  if (reader_.complete() || !asking_) {
    stream_->close(now);
  } else {
    stream_->reset(now);
  }
  stream_ = nullptr;
  connected_ = false;
  out_.clear();
  read_timer_.disarm();
}

void HttpClient::on_closed(stream::ByteStream&, stream::CloseReason reason, Instant now) {
  stream_ = nullptr;
  connected_ = false;
  out_.clear();
  read_timer_.disarm();
  if (!asking_) return;
  timer_.disarm();
  if (!table_.may_fail(row())) complain(std::string("its connection broke: ") + to_text(reason));
  conclude(RequestTable::Result::kBroken, now);
}

void HttpClient::on_patience_timer(Instant now) {
  if (!table_.may_fail(row())) complain("heard nothing for too long");
  timer_.disarm();
  if (stream_ != nullptr) drop_connection(now);
  conclude(RequestTable::Result::kBroken, now);
}

void HttpClient::vanish() {
  stream_ = nullptr;
  out_.clear();
  for (Timer* timer : {&timer_, &read_timer_, &patience_timer_}) timer->disarm();
  for (; next_ < requests_.size(); ++next_) row().result = RequestTable::Result::kAbandoned;
  asking_ = false;
}

}  // namespace millrace::sim
