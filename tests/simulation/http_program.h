// HTTP clients and origins on simulated hosts, and the oracle over them: every request gets exactly one answer, and the right
// one, or a reported error: a 5xx of the gateway, or a connection that breaks. Errors are findings too unless the run may break.
// Origins note what they saw of each try and said to it, so that retry_oracle.h can tell which may have followed which.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "config/model/retry_policy.h"
#include "tests/simulation/findings.h"
#include "tests/simulation/host.h"
#include "tests/simulation/http_message.h"

namespace millrace::sim {

struct RequestPlan {
  std::uint64_t request_bytes = 0;
  std::uint64_t response_bytes = 0;
  bool chunked_request = false;
  bool chunked_response = false;
  bool origin_closes = false;                    ///< Connection: close, and the origin ends its side
  Duration origin_delay = {};                    ///< between the request and its answer
  Duration think = {};                           ///< of the client, before it asks
  std::uint64_t abandon_at = ~std::uint64_t{0};  ///< the client resets the connection having read so much of the answer's body
  // Tries that origins fail, the first ones; whether the client may hear of it, the scenario says.
  enum class Failure : std::uint8_t {
    kStatus,  ///< `failure_status`, and no good answer
    kReset,
    kGarbage,      ///< what is no HTTP
    kResetInHead,  ///< a few bytes of an answer, then a reset
    kResetInBody,  ///< the head of a good answer, then a reset: no retry makes up for it
    kHang,         ///< nothing
  };
  std::uint32_t failed_tries = 0;
  Failure failure = Failure::kStatus;
  int failure_status = 503;
  bool trickles = false;     ///< the answer comes in many small pieces
  bool fails_early = false;  ///< with the head already, not with the whole request
  bool high_priority = false;
  bool may_fail = false;
  bool may_overflow = false;  ///< limits may refuse it
};

/// What an origin has seen of one try of a request, and said to it.
struct TryRecord {
  std::uint32_t attempt = 1;  ///< the number that the gateway gave it
  Instant seen = {};          ///< its head
  int status = 0;             ///< of the response that was begun; 0: none was
  bool broken = false;        ///< a reset, or what is no response, was all or the end of it
};

struct RequestTable {
  enum class Result : std::uint8_t { kNone, kAnswered, kErrorAnswer, kBroken, kAbandoned };
  struct Row {
    RequestPlan plan;
    Result result = Result::kNone;
    std::deque<TryRecord> tries = {};  ///< heads of it at origins, as they came
    std::uint32_t arrivals = 0;        ///< complete requests at origins
    Instant asked = {};                ///< the client began with it
    std::uint32_t told_attempts = 0;   ///< that there had been when the client got a response's head; 0: it got none
  };
  std::deque<Row> rows;
  Findings findings;
  bool may_break = false;
  std::shared_ptr<const config::RetryPolicy> retry;  ///< that the gateway goes by; null: none
  bool hedged = false;                               ///< a try whose time is over gets a successor, whatever `retry` covers
  Duration patience = Duration::seconds(1'000);      ///< a side that hears nothing for so long gives up

  [[nodiscard]] bool may_fail(const Row& row) const { return may_break || row.plan.may_fail; }
  [[nodiscard]] bool over() const;
  [[nodiscard]] std::size_t count(Result result) const;
  void judge();
};

/// One client: a list of requests, one after the other, on one connection as long as it lives.
class HttpClient final : public stream::ByteStreamEvents {
 public:
  HttpClient(Host& host, RequestTable& table, const SocketAddress& gateway, std::vector<std::uint64_t> requests,
             Duration read_pause, Instant start);

  void vanish();
  void on_connected(stream::ByteStream& stream, Instant now) override;
  void on_readable(stream::ByteStream& stream, Instant now) override;
  void on_writable(stream::ByteStream& stream, Instant now) override;
  void on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant now) override;

 private:
  void on_timer(Instant now);
  void on_read_timer(Instant now);
  void on_patience_timer(Instant now);
  void begin(Instant now);
  void fill(Instant now);
  void drain(Instant now);
  void on_head();
  void on_answer(Instant now);
  void conclude(RequestTable::Result result, Instant now);
  void drop_connection(Instant now);
  void complain(const std::string& text);
  [[nodiscard]] bool may_be_told(int status) const;
  [[nodiscard]] RequestTable::Row& row() { return table_.rows[requests_[next_]]; }
  [[nodiscard]] const RequestTable::Row& row() const { return table_.rows[requests_[next_]]; }

  Host& host_;
  RequestTable& table_;
  const SocketAddress gateway_;
  const std::vector<std::uint64_t> requests_;
  const Duration read_pause_;
  std::size_t next_ = 0;
  bool asking_ = false;  // a request is under way
  stream::ByteStream* stream_ = nullptr;
  bool connected_ = false;
  HttpReader reader_;
  HttpWriter writer_;
  stream::Chain out_;
  Timer timer_;
  Timer read_timer_;
  Timer patience_timer_;
};

/// Answers each request as its plan says.
class HttpOrigin final : public stream::Acceptor {
 public:
  HttpOrigin(Host& host, RequestTable& table, std::uint16_t port);
  void on_accept(stream::ByteStream& stream, Instant now) override;
  /// Drops everything, lets the host crash, and listens again.
  void crash(Instant now);
  /// Resets every connection; from now on new ones are refused.
  void refuse(Instant now);
  void listen();
  [[nodiscard]] bool refuses() const { return listener_ == nullptr; }
  [[nodiscard]] Instant refuses_since() const { return refuses_since_; }
  /// A fault for tests of the oracle: answers carry the body of another request.
  void mix_up_answers() { mixed_up_ = true; }
  /// The same: each answer comes twice.
  void answer_twice() { answers_twice_ = true; }

 private:
  class Connection;
  Host& host_;
  RequestTable& table_;
  const std::uint16_t port_;
  bool mixed_up_ = false;
  bool answers_twice_ = false;
  tcp::Listener* listener_ = nullptr;  // null: it refuses
  Instant refuses_since_;
  std::deque<std::unique_ptr<Connection>> connections_;

 public:
  ~HttpOrigin();
};

}  // namespace millrace::sim
