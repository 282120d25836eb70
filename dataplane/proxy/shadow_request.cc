#include "dataplane/proxy/shadow_request.h"

#include <new>

#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/kept_body.h"
#include "dataplane/proxy/policy/field_tools.h"
#include "dataplane/proxy/pool_choice.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/stream_info.h"

namespace millrace::proxy {
namespace {

// "host-shadow", and before the port where there is one. Null data(): out of memory.
std::string_view shadow_host(std::string_view authority, Arena& arena) {
  const std::string_view host = host_without_port(authority);
  return arena.concat({host, "-shadow", authority.substr(host.size())});
}

bool copy_fields(const http::HeaderMap& from, http::HeaderMap& to) {
  for (const http::HeaderField& field : from.fields()) {
    if (!to.add_copy(field.name, field.value)) return false;
  }
  return true;
}

}  // namespace

ShadowRequest::ShadowRequest(Runtime& runtime, ClusterRuntime& cluster)
    : runtime_(runtime),
      cluster_(cluster),
      arena_(runtime.chunks),
      upstream_(*this),
      body_(runtime.context.chains),
      timeout_(Timer::calling<&ShadowRequest::on_timeout>(*this)) {
  cluster_.pin();
}

ShadowRequest::~ShadowRequest() {
  if (pool_ != nullptr) pool_->unpin();
  cluster_.unpin();
}

bool ShadowRequest::copy_head(const http::RequestHead& head, bool host_suffix) {
  void* memory = arena_.allocate(sizeof(http::RequestHead), alignof(http::RequestHead));
  if (memory == nullptr) return false;
  head_ = ::new (memory) http::RequestHead(arena_, head.headers.size() + 1);
  head_->method = arena_.copy(head.method);
  head_->scheme = arena_.copy(head.scheme);
  head_->authority = host_suffix ? shadow_host(head.authority, arena_) : arena_.copy(head.authority);
  head_->path = arena_.copy(head.path);
  head_->version = head.version;
  const bool copied = head_->method.data() != nullptr && head_->scheme.data() != nullptr && head_->authority.data() != nullptr &&
                      head_->path.data() != nullptr;
  return copied && copy_fields(head.headers, head_->headers);
}

void ShadowRequest::start(Instant now) {
  StreamInfo info;
  info.request = head_;
  ConnectionPool* endpoint = cluster_.choose({.info = &info}, now);
  if (endpoint == nullptr) {
    cluster_.stats().upstream_cx_none_healthy.add();
    return abandon(now);
  }
  pool_ = choose_pool(*endpoint, {.priority = config::RoutingPriority::kDefault, .head = *head_, .client = nullptr}, now).pool;
  if (pool_ == nullptr) return abandon(now);
  pool_->pin();
  upstream_.start(*pool_, now);
}

bool ShadowRequest::add_body(const stream::Chain& data, std::size_t limit, Instant now) {
  if (over_) return true;
  if (data.size() + body_.size() > limit || !affordable(body_.charge() + data.size(), runtime_.context.chains.packets()))
    return false;
  if (!append_to_keep(body_, data)) return false;
  push(now);
  return true;
}

void ShadowRequest::end(const http::HeaderMap* trailers, Duration timeout, Instant now) {
  if (over_) return;
  if (trailers != nullptr) {
    void* memory = arena_.allocate(sizeof(http::HeaderMap), alignof(http::HeaderMap));
    if (memory == nullptr) return abandon(now);
    trailers_ = ::new (memory) http::HeaderMap(arena_, trailers->size());
    if (!copy_fields(*trailers, *trailers_)) return abandon(now);
  }
  ended_ = true;
  runtime_.arm_after(timeout_, now, timeout);
  push(now);
}

void ShadowRequest::abandon(Instant now) {
  if (over_) return;
  over_ = true;
  upstream_.cancel(now);
  timeout_.disarm();
  body_.clear();
  static_cast<ListNode<OfStreamTag>&>(*this).unlink();
  runtime_.dead_shadows.push_back(*this);
}

void ShadowRequest::on_upstream_ready(const UpstreamAddresses&, Instant now) {
  sent_ = ended_ && body_.empty() && trailers_ == nullptr;
  if (!upstream_.send_head(*head_, sent_, now)) return abandon(now);
  push(now);
}

void ShadowRequest::push(Instant now) {
  if (!upstream_.is_open() || sent_) return;
  const bool ends = ended_ && trailers_ == nullptr;
  if ((!body_.empty() || ends) && !upstream_.send_data(body_, ends, now)) return abandon(now);
  if (!ended_ || !body_.empty()) return;
  sent_ = true;
  if (trailers_ != nullptr && !upstream_.send_trailers(*trailers_, now)) abandon(now);
}

void ShadowRequest::on_upstream_credit(Instant now) { push(now); }

void ShadowRequest::on_upstream_informational(http::ResponseHead&, Instant) {}

void ShadowRequest::on_upstream_response(http::ResponseHead&, bool end_stream, Instant now) {
  if (end_stream) on_answered(now);
}

void ShadowRequest::on_upstream_data(stream::Chain& data, bool end_stream, Instant now) {
  upstream_.consumed(data.size());
  data.clear();
  if (end_stream) on_answered(now);
}

void ShadowRequest::on_upstream_trailers(http::HeaderMap&, Instant now) { on_answered(now); }

void ShadowRequest::on_answered(Instant now) {
  answered_ = true;
  abandon(now);
}

void ShadowRequest::on_upstream_failure(UpstreamFailure, std::string_view, Instant now) { abandon(now); }

void ShadowRequest::on_timeout(Instant now) {
  cluster_.stats().upstream_rq_timeout.add();
  upstream_.note_timeout(now);
  abandon(now);
}

}  // namespace millrace::proxy
