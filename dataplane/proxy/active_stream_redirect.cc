// A redirect that is followed here: the request goes to its target as if the client had asked for that, through the filters and
// the routes again. The client never hears of it.
#include <memory>
#include <new>
#include <tuple>
#include <utility>

#include "dataplane/proxy/active_stream.h"
#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/listener_runtime.h"
#include "dataplane/proxy/policy/internal_redirect.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/stream_retries.h"

namespace millrace::proxy {
namespace {

std::string_view scheme_of(const http::RequestHead& head) {
  const std::string_view forwarded = head.headers.value(http::HeaderId::kXForwardedProto);
  return forwarded.empty() ? head.scheme : forwarded;
}

}  // namespace

bool ActiveStream::follow_redirect(const http::ResponseHead& head, bool end_stream, Instant now) {
  if (phase_ != Phase::kWaiting || upgrading_) return false;
  const auto& policy = std::get<config::ForwardAction>(levels_.route->action).redirects;
  if (policy == nullptr || !is_internal_redirect(*policy, head.status)) return false;
  auto& stats = cluster_->stats();
  if (!turn_to_redirect(*policy, head)) {
    stats.upstream_internal_redirect_failed_total.add();
    return false;
  }
  stats.upstream_internal_redirect_succeeded_total.add();
  pool_->endpoint_stats().rq_success.add();
  timeouts_.touch(now);
  timeouts_.disarm(StreamTimeouts::Kind::kRoute);
  response_ended_ = end_stream;
  upstream_->cancel(now);
  end_hedges(now);
  request_sent_ = response_ended_ = false;
  redirected_ = true;
  runtime_.ready.wake(*this);  // not here, amid the upstream's events
  return true;
}

// Changes the request's target and the route, or nothing that counts.
bool ActiveStream::turn_to_redirect(const config::InternalRedirectPolicy& policy, const http::ResponseHead& head) {
  if (!request_ended_ || !request_is_whole() || !retries_->keeps_body()) return false;
  const std::string_view location = arena_.copy(head.headers.value(http::HeaderId::kLocation));
  const auto target = parse_redirect_target(location);
  http::RequestHead& request = *request_;
  if (!target || request.path.empty() || !may_follow(policy, redirects_, scheme_of(request), *target)) return false;

  const std::string_view original = arena_.concat({scheme_of(request), "://", request.authority, request.path});
  const std::string_view path = target->needs_slash ? arena_.concat({"/", target->path}) : target->path;
  void* memory = arena_.allocate(sizeof(FollowedRedirect), alignof(FollowedRedirect));
  if (original.data() == nullptr || path.data() == nullptr || memory == nullptr) return false;

  const RedirectTarget before{.scheme = request.scheme, .authority = request.authority, .path = request.path};
  const auto [host, route, levels] = std::tuple(info_.virtual_host, info_.route, levels_);
  request.scheme = target->scheme;
  request.authority = target->authority;
  request.path = path;
  find_route();
  const bool accepted = info_.route != nullptr && may_enter(policy, redirects_, *levels.route, *info_.route) &&
                        request.headers.set_copy(http::HeaderId::kXEnvoyOriginalUrl, original) &&
                        copy_redirect_fields(policy, head, request);
  if (!accepted) {  // the answer is still that of the route before
    std::tie(request.scheme, request.authority, request.path) = std::tuple(before.scheme, before.authority, before.path);
    std::tie(info_.virtual_host, info_.route, levels_) = std::tuple(host, route, levels);
    return false;
  }
  if (head.status == 303 && request.method != "GET" && request.method != "HEAD") {  // RFC 9110 15.4.4
    request.method = "GET";
    request.headers.remove(http::HeaderId::kContentLength);
    retries_->forget_body();
  }
  redirects_ = ::new (memory) FollowedRedirect{.from = levels.route->name, .to = info_.route->name, .before = redirects_};
  return true;
}

// The stream as it was when all of the request had come, but for its head. False: it is answered.
bool ActiveStream::go_to_redirect(Instant now) {
  redirected_ = false;
  drop_request_body();
  if (!retries_->keeps_body()) {
    request_trailers_ = nullptr;
  } else if (!retries_->replay(request_body_)) {
    reply(LocalReplyReason::kOverloaded, now);
    return false;
  }
  std::destroy_at(std::exchange(retries_, nullptr));
  if (filters_ != nullptr) {
    filters_->end(now);
    std::destroy_at(std::exchange(filters_, nullptr));
  }
  passed_filters_ = request_started_ = try_timed_out_ = false;
  hash_ = {};
  info_.attempts = 0;
  timeouts_.arm(StreamTimeouts::Kind::kIdle, http().stream_idle_timeout, now);
  arm_duration(http().max_stream_duration, now);
  return true;
}

}  // namespace millrace::proxy
