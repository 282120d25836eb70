#include "control-agent/xds/stream_session.h"

#include <algorithm>
#include <utility>

#include "control-agent/xds/back_off.h"
#include "dataplane/base/assert.h"

namespace millrace::agent {

namespace discovery = envoy::service::discovery::v3;

namespace {

void set_node(google::protobuf::Message& request, const envoy::config::core::v3::Node& node) {
  const auto* field = request.GetDescriptor()->FindFieldByName("node");
  request.GetReflection()->MutableMessage(&request, field)->CopyFrom(node);
}

}  // namespace

StreamSession::StreamSession(XdsServerGroup group, std::string method, const envoy::config::core::v3::Node& node,
                             XdsTransport& transport, std::uint64_t seed)
    : group_(std::move(group)), method_(std::move(method)), node_(node), transport_(transport), rng_(seed) {
  MR_ASSERT(!group_.servers.empty());
}

StreamSession::~StreamSession() {
  if (stream_) transport_.close(*stream_);
}

void StreamSession::add_type(ResourceType type, bool is_wildcard) {
  types_.push_back({.stream = TypeStream::make(group_.protocol, type, is_wildcard)});
  if (stream_) types_.back().stream->on_open();
}

const StreamSession::Carried* StreamSession::find(ResourceType type) const {
  const auto at = std::ranges::find_if(types_, [type](const Carried& carried) { return carried.stream->type() == type; });
  return at == types_.end() ? nullptr : &*at;
}

StreamSession::Carried* StreamSession::find(ResourceType type) { return const_cast<Carried*>(std::as_const(*this).find(type)); }

const std::string& StreamSession::version(ResourceType type) const {
  static const std::string kNone;
  const Carried* carried = find(type);
  return carried == nullptr ? kNone : carried->stream->version();
}

void StreamSession::want(ResourceType type, const std::set<SharedName>& names) {
  if (Carried* carried = find(type); carried != nullptr) carried->stream->want(names);
}

void StreamSession::hold(ResourceType type, const std::set<SharedName>& names, Instant now) {
  Carried* carried = find(type);
  if (carried == nullptr) return;
  carried->stream->hold(names);
  if (!stream_ || group_.protocol != XdsProtocol::kDelta) return;
  transport_.close(*stream_);
  stream_.reset();
  stats_.connected = false;
  open_at_ = now;
}

std::optional<ResourceType> StreamSession::on_response(const XdsResponse& response) {
  responded_ = true;
  failures_ = 0;
  stats_.connected = true;
  const auto type = resource_type(response.type_url);
  if (!type || find(*type) == nullptr || response.is_delta != (group_.protocol == XdsProtocol::kDelta)) return std::nullopt;
  return type;
}

void StreamSession::answer(ResourceType type, const XdsResponse& response, const std::optional<std::string>& error, Instant now) {
  Carried& carried = *find(type);
  carried.stream->answer(response, error);
  if (!error) {
    carried.rejected_version.reset();
    carried.rejections = 0;
    return;
  }
  // A server that sends the same again for each rejection would keep both of us busy for nothing.
  carried.rejections = carried.rejected_version == response.version ? carried.rejections + 1 : 0;
  carried.rejected_version = response.version;
  carried.hold_until = carried.rejections == 0 ? now : now + back_off(carried.rejections);
}

void StreamSession::on_closed(const XdsStreamClosed& closed, Instant now) {
  stream_.reset();
  stats_.connected = false;
  stats_.last_failure = closed.reason;
  // One that has served us is tried first again, the others stand in for it in their order.
  server_ = responded_ ? 0 : (server_ + 1) % group_.servers.size();
  open_at_ = now + back_off(++failures_);
}

void StreamSession::open() {
  stream_ = transport_.open(server(), method_, group_.protocol);
  ++stats_.opened;
  responded_ = false;
  node_sent_ = false;
  for (Carried& carried : types_) {
    carried.stream->on_open();
    carried.hold_until = {};
  }
}

void StreamSession::service(Instant now) {
  if (!stream_) {
    if (now < open_at_ || types_.empty()) return;
    open();
  }
  stats_.pending = 0;
  for (Carried& carried : types_) {
    while (carried.stream->has_request() && now >= carried.hold_until) {
      if (!take_token(now)) {
        ++stats_.pending;
        break;
      }
      XdsRequest request = carried.stream->next_request();
      if (!node_sent_ || !group_.node_on_first_message_only) set_node(*request, node_);
      node_sent_ = true;
      transport_.send(*stream_, std::move(request));
    }
  }
}

bool StreamSession::take_token(Instant now) {
  if (!group_.rate_limit) return true;
  const XdsRateLimit& limit = *group_.rate_limit;
  const double passed = static_cast<double>((now - tokens_at_).to_nanoseconds()) / 1e9;
  tokens_ = tokens_at_ == Instant{} ? limit.max_tokens : std::min(limit.max_tokens, tokens_ + passed * limit.fill_rate);
  tokens_at_ = now;
  if (tokens_ < 1) {
    ++stats_.rate_limited;
    return false;
  }
  tokens_ -= 1;
  return true;
}

Instant StreamSession::next_timeout() const {
  if (!stream_) return types_.empty() ? Instant::never() : open_at_;
  Instant next = Instant::never();
  for (const Carried& carried : types_) {
    if (carried.stream->has_request()) next = std::min(next, carried.hold_until);
  }
  if (stats_.pending > 0) {
    const double missing = std::max(0.0, 1 - tokens_) / group_.rate_limit->fill_rate;
    next = std::max(std::min(next, Instant::never()),
                    tokens_at_ + Duration::nanoseconds(static_cast<std::int64_t>(missing * 1e9) + 1));
  }
  return next;
}

Duration StreamSession::back_off(std::uint32_t failures) {
  return jittered_back_off(group_.retry_base, group_.retry_max, failures, rng_);
}

}  // namespace millrace::agent
