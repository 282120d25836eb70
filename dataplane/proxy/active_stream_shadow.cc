// The copies of a request that other clusters get (shadow_request.h).
#include "dataplane/proxy/active_stream.h"
#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/policy/route_matcher.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/shadow_request.h"

namespace millrace::proxy {

// As the request goes to its own cluster. A copy that cannot be made is left out: the request does not depend on it.
void ActiveStream::start_shadows(const config::ForwardAction& action, Instant now) {
  if (!request_->upgrade.empty()) return;
  for (const config::MirrorPolicy& policy : *action.mirrors) {
    if (!runtime_.context.rng.chance(policy.fraction.numerator, policy.fraction.denominator)) continue;
    const std::string_view name =
        policy.cluster_header.empty() ? policy.cluster : first_request_value(*request_, policy.cluster_header);
    ClusterRuntime* cluster = runtime_.clusters.find(*runtime_.snapshot, name, now);
    ShadowRequest* shadow = cluster == nullptr ? nullptr : runtime_.shadow_pool.make(runtime_, *cluster);
    if (shadow == nullptr) continue;
    shadows_.push_back(*shadow);
    if (shadow->copy_head(*request_, policy.append_suffix)) {
      shadow->start(now);
    } else {
      shadow->abandon(now);
    }
  }
  share_with_shadows(request_body_, now);
  if (request_is_whole()) end_shadows(now);
}

void ActiveStream::share_with_shadows(const stream::Chain& data, Instant now) {
  const std::size_t limit = kept_body_limit(std::get<config::ForwardAction>(levels_.route->action));
  for_each(shadows_, [&](ShadowRequest& shadow) {
    if (shadow.add_body(data, limit, now)) return;
    cluster_->stats().retry_or_shadow_abandoned.add();
    shadow.abandon(now);
  });
}

void ActiveStream::end_shadows(Instant now) {
  while (ShadowRequest* shadow = shadows_.pop_front()) shadow->end(request_trailers_, response_timeout_, now);
}

void ActiveStream::abandon_shadows(Instant now) {
  while (!shadows_.empty()) shadows_.front().abandon(now);
}

}  // namespace millrace::proxy
