// What an HTTP filter is: a part of a stream that sees its request on the way to the router, and its response on the way back. A
// filter lives in its stream's arena from its turn in the request on, and only in streams where it has something to do.
//
//   request:   first filter --> ... --> last filter --> router
//   response:  first filter <-- ... <-- last filter <-- router, or a local reply
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <utility>

#include "config/model/http_filter.h"
#include "dataplane/base/arena.h"
#include "dataplane/base/block_heap.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/shared_token_bucket.h"
#include "dataplane/base/time.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/policy/header_mutations.h"
#include "dataplane/proxy/policy/json.h"
#include "dataplane/proxy/policy/local_reply.h"
#include "dataplane/proxy/stream_info.h"
#include "dataplane/report/cells.h"
#include "dataplane/stream/chain.h"

namespace millrace::proxy {

/// How many endpoints a cluster has, and how many of them are healthy.
struct ClusterHealth {
  std::size_t total = 0;
  std::size_t healthy = 0;
};

/// What filters ask of their stream. None of it has an effect once the stream is answered.
class FilterActions {
 public:
  /// A filter that said kWait lets the request go on.
  virtual void resume_request(Instant now) = 0;
  /// Body bytes that a filter held back may pass.
  virtual void resume_bodies(Instant now) = 0;
  /// Answers the request in the upstream's place; the reply passes the filters as a response does.
  virtual void answer(const LocalReply& reply, Instant now) = 0;
  /// Chooses the route again, by the request as it is now (Envoy: clear_route_cache). Filters that had their turn keep what they
  /// know of the old one.
  virtual void choose_route_again() = 0;
  /// A token bucket of the client's connection, full when it is asked for first. Null: no memory.
  [[nodiscard]] virtual SharedTokenBucket* connection_bucket(std::uint32_t id) = 0;
  /// Nothing: there is no such cluster.
  [[nodiscard]] virtual std::optional<ClusterHealth> cluster_health(std::string_view cluster) const = 0;
  /// An operator wants this gateway to say that it is not well.
  [[nodiscard]] virtual bool fails_health_checks() const = 0;

 protected:
  ~FilterActions() = default;
};

/// A compressor of the stream, for the others: they choose one coding together.
struct CompressorOffer {
  const config::Compressor& config;
  CompressorOffer* next = nullptr;  ///< that of the next filter
};

/// What filters know of their stream and its worker. Lives as long as the stream.
struct FilterContext {
  FilterActions& actions;
  Arena& arena;
  StreamInfo& info;
  const MutationLevels& levels;  ///< of the route; all null: there is none
  report::HttpCell& cell;        ///< of the connection manager
  TimerWheel& timers;
  Rng& rng;
  stream::ChainPool& chains;
  BlockHeap& codings;  ///< for libraries of content codings
  JsonReader& json;
  std::string_view hostname;
  std::int64_t wall_offset_nanoseconds;  ///< wall clock minus `now`
  std::uint32_t worker;
  CompressorOffer* compressors = nullptr;  ///< of those filters that have had their turn and compress responses, the first first

  [[nodiscard]] report::HttpStats& stats() const { return cell.per_worker[worker]; }
  /// For values of header fields.
  [[nodiscard]] FormatEnvironment environment() const { return {.hostname = hostname, .missing = ""}; }
};

/// What the route says of the filter `name`: the most specific level that says something. Null: none does.
[[nodiscard]] const config::RouteFilter* find_route_filter(const MutationLevels& levels, std::string_view name);

/// As find_route_filter(), where that has a configuration of type T.
template <typename T>
[[nodiscard]] const T* find_route_config(const MutationLevels& levels, std::string_view name) {
  const config::RouteFilter* entry = find_route_filter(levels, name);
  return entry == nullptr ? nullptr : std::get_if<T>(&entry->config);
}

/// All that the route says of the filter with a T, the most specific level first; null: that level does not.
template <typename T>
[[nodiscard]] std::array<const T*, 4> find_route_configs(const MutationLevels& levels, std::string_view name) {
  const auto of = [&](const auto* level) -> const T* {
    const config::RouteFilter* entry = level == nullptr ? nullptr : level->filters.find(name);
    return entry == nullptr ? nullptr : std::get_if<T>(&entry->config);
  };
  return {of(levels.cluster), of(levels.route), of(levels.virtual_host), of(levels.table)};
}

/// Passes a body on. It may change it, or hold it back; what it holds is bounded by whoever feeds it.
class BodyFilter {
 public:
  enum class Outcome : std::uint8_t {
    kPassed,
    kNoMemory,  ///< the request is answered with 503, a response is reset
    kBadData,   ///< it is not what it says to be: 400, or a reset
  };
  struct Pass {
    stream::Chain& in;
    bool in_ended;       ///< `in` is the rest of the body
    stream::Chain& out;  ///< to the end of which it writes
    std::size_t room;    ///< how many bytes about; 0 or more
    bool out_ended;      ///< false; set to true when nothing follows
  };
  /// Takes what it can from the front of `pass.in`. What it leaves is there again when it is called next: when more has come,
  /// when there is room again, or after FilterActions::resume_bodies().
  [[nodiscard]] virtual Outcome pass(Pass& pass, Instant now) = 0;

 protected:
  ~BodyFilter() = default;
};

class HttpFilter {
 public:
  enum class Verdict : std::uint8_t {
    kContinue,
    kWait,       ///< until FilterActions::resume_request()
    kAwaitBody,  ///< until all of the body is there: see body_limit()
    kAnswered,   ///< FilterActions::answer() was called
    kNoMemory,   ///< 503
  };

  virtual ~HttpFilter() = default;

  /// `end_stream`: there is no body.
  [[nodiscard]] virtual Verdict on_request(http::RequestHead& head, bool end_stream, Instant now) {
    static_cast<void>(head), static_cast<void>(end_stream), static_cast<void>(now);
    return Verdict::kContinue;
  }
  /// After kAwaitBody: the most that is waited for, in bytes; a larger body is answered with 413.
  [[nodiscard]] virtual std::size_t body_limit() const { return 0; }
  /// After kAwaitBody: all of it is there. Not kAwaitBody again.
  [[nodiscard]] virtual Verdict on_whole_request(http::RequestHead& head, const stream::Chain& body, Instant now) {
    static_cast<void>(head), static_cast<void>(body), static_cast<void>(now);
    return Verdict::kContinue;
  }
  /// Asked once, after on_request(): null when the request's body passes it unseen.
  [[nodiscard]] virtual BodyFilter* request_body() { return nullptr; }

  /// The final response, an answer of the gateway's own included; also when the request did not come to this filter. False: no
  /// memory; the stream is reset.
  [[nodiscard]] virtual bool on_response(http::ResponseHead& head, bool end_stream, Instant now) {
    static_cast<void>(head), static_cast<void>(end_stream), static_cast<void>(now);
    return true;
  }
  /// Asked once, after on_response().
  [[nodiscard]] virtual BodyFilter* response_body() { return nullptr; }

  /// The stream is over. No call follows.
  virtual void on_end(Instant now) { static_cast<void>(now); }
};

/// A filter in the stream's arena, where it is also destroyed. Null: no memory.
template <typename Filter, typename... Args>
[[nodiscard]] HttpFilter* make_in_arena(Arena& arena, Args&&... args) {
  void* memory = arena.allocate(sizeof(Filter), alignof(Filter));
  return memory == nullptr ? nullptr : ::new (memory) Filter(std::forward<Args>(args)...);
}

/// What comes of the turn of a configured filter in a stream.
struct MadeFilter {
  HttpFilter* filter = nullptr;  ///< null: it has nothing to do in this stream
  bool no_memory = false;

  [[nodiscard]] static MadeFilter none() { return {}; }
  [[nodiscard]] static MadeFilter of(HttpFilter* made) { return {made, made == nullptr}; }
};

}  // namespace millrace::proxy
