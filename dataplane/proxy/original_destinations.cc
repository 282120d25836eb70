#include "dataplane/proxy/original_destinations.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "dataplane/base/assert.h"
#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/policy/route_matcher.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/stream_info.h"

namespace millrace::proxy {
namespace {

// What the rules' metadata key leads to; null: nothing is there.
const MetadataValue* find_metadata(const config::OriginalDst& rules, const Metadata& metadata) {
  if (rules.metadata_filter.empty()) return nullptr;
  const MetadataValue* value = metadata.find(rules.metadata_filter);
  for (const std::string& key : rules.metadata_path) {
    if (value == nullptr) return nullptr;
    value = value->member(key);
  }
  return value;
}

OriginalDestination parse_override(std::string_view text) {
  const auto address = SocketAddress::parse(text);
  // What stands for a Unix socket is nobody's to write.
  if (!address || address->is_pipe()) return {.address = std::nullopt, .invalid = true};
  return {.address = address, .invalid = false};
}

bool is_busy(const ConnectionPool& pool) { return pool.endpoint_stats().rq_active.value() > 0; }

}  // namespace

OriginalDestination original_destination(const config::OriginalDst& rules, const StreamInfo& info) {
  OriginalDestination out;
  if (const MetadataValue* value = find_metadata(rules, info.metadata);
      value != nullptr && value->kind == MetadataValue::Kind::kString) {
    out = parse_override(value->text);
  }
  if (!out.address && info.request != nullptr && !rules.http_header.empty()) {
    const std::string_view text = first_request_value(*info.request, rules.http_header);
    if (!text.empty()) {
      const bool invalid = out.invalid;
      out = parse_override(text);
      out.invalid |= invalid;
    }
  }
  if (!out.address && info.downstream_local_is_original && !info.downstream_local.is_pipe()) out.address = info.downstream_local;
  if (out.address && rules.port_override) out.address->port = *rules.port_override;
  return out;
}

OriginalDestinations::OriginalDestinations(Runtime& runtime, ClusterRuntime& cluster)
    : runtime_(runtime), cluster_(cluster), cleanup_(Timer::calling<&OriginalDestinations::clean_up>(*this)) {}

OriginalDestinations::~OriginalDestinations() { MR_ASSERT(is_unused()); }

ConnectionPool* OriginalDestinations::choose(const StreamInfo& info, Instant now) {
  if (is_retired_) return nullptr;
  const config::OriginalDst& rules = *cluster_.config().original_dst;
  const OriginalDestination destination = original_destination(rules, info);
  if (destination.invalid) cluster_.stats().original_dst_host_invalid.add();
  if (!destination.address) return nullptr;
  if (!cleanup_.is_armed()) runtime_.arm_after(cleanup_, now, rules.cleanup_interval);
  if (const auto known = by_address_.find(*destination.address); known != by_address_.end()) {
    known->second.used = true;
    return known->second.pool.get();
  }
  if (by_address_.size() >= kMost && !make_room(now)) return nullptr;
  return make(*destination.address);
}

ConnectionPool* OriginalDestinations::make(const SocketAddress& address) {
  const report::ClusterCell& cluster = *cluster_.config().cell;
  config::Endpoint endpoint = cluster_.config().original_dst->endpoint;
  endpoint.address = address;
  endpoint.cell = std::make_shared<report::EndpointCell>(0, cluster.per_worker.size());
  const auto made = by_address_.emplace(
      address, Destination{.pool = std::make_unique<ConnectionPool>(runtime_, cluster_, endpoint), .used = true});
  return made.first->second.pool.get();
}

// All of those that have no request: which of them was used last is not kept.
bool OriginalDestinations::make_room(Instant now) {
  for (auto at = by_address_.begin(); at != by_address_.end();) at = is_busy(*at->second.pool) ? std::next(at) : remove(at, now);
  sweep();
  return by_address_.size() < kMost;
}

OriginalDestinations::Destinations::iterator OriginalDestinations::remove(Destinations::iterator at, Instant now) {
  at->second.pool->retire(now);
  retired_.push_back(std::move(at->second.pool));
  return by_address_.erase(at);
}

void OriginalDestinations::follow_cluster(Instant now) {
  is_retired_ = false;
  const config::Endpoint& wanted = cluster_.config().original_dst->endpoint;
  for (auto at = by_address_.begin(); at != by_address_.end();)
    at = same_transport(at->second.pool->endpoint(), wanted) ? std::next(at) : remove(at, now);
  for (const auto& [address, destination] : by_address_) {
    const config::Endpoint endpoint = destination.pool->endpoint();
    destination.pool->revive(endpoint);  // its limits may be others
  }
}

void OriginalDestinations::retire(Instant now) {
  is_retired_ = true;
  for (auto at = by_address_.begin(); at != by_address_.end();) at = remove(at, now);
  sweep();
}

bool OriginalDestinations::is_unused() const {
  return std::ranges::all_of(by_address_, [](const auto& known) { return known.second.pool->is_unused(); }) &&
         std::ranges::all_of(retired_, [](const auto& pool) { return pool->is_unused(); });
}

void OriginalDestinations::sweep() {
  std::erase_if(retired_, [](const auto& pool) { return pool->is_unused(); });
}

// An endpoint that has just been used has two intervals at the most.
void OriginalDestinations::clean_up(Instant now) {
  for (auto at = by_address_.begin(); at != by_address_.end();) {
    const bool stays = std::exchange(at->second.used, false) || is_busy(*at->second.pool);
    at = stays ? std::next(at) : remove(at, now);
  }
  sweep();
  const bool done = by_address_.empty() && retired_.empty();
  if (const auto& rules = cluster_.config().original_dst; rules != nullptr && !done)
    runtime_.arm_after(cleanup_, now, rules->cleanup_interval);
}

}  // namespace millrace::proxy
