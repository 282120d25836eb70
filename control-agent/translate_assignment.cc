#include "control-agent/translate_assignment.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "control-agent/translate_common.h"
#include "control-agent/translate_subsets.h"
#include "control-agent/translate_upstream_connection.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;
namespace endpoint_api = envoy::config::endpoint::v3;

namespace {

constexpr std::uint32_t kMaxEndpointsPerCluster = 100'000;
constexpr std::uint32_t kMostOverprovisioning = 1'000'000;  // percent: keeps products of it and a sum of weights in 64 bits

/// What of endpoints does not outlive the translation, by their index.
struct EndpointSources {
  std::vector<std::string> hash_keys;              ///< what hashes them onto a ring or into a table
  std::vector<config::EndpointMetadata> metadata;  ///< empty without subsets
};

// Of the endpoint's metadata "envoy.lb"; null: it has none of that name.
const google::protobuf::Value* lb_metadata(const core::Metadata& metadata, const std::string& key) {
  const auto values = metadata.filter_metadata().find("envoy.lb");
  if (values == metadata.filter_metadata().end()) return nullptr;
  const auto value = values->second.fields().find(key);
  return value == values->second.fields().end() ? nullptr : &value->second;
}

std::string hash_key(const core::Metadata& metadata, const config::Endpoint& endpoint, const BalancingPlan& plan) {
  const auto* own = lb_metadata(metadata, "hash_key");
  if (own != nullptr && !own->string_value().empty()) return own->string_value();
  return plan.by_hostname ? endpoint.extras().hostname : endpoint.address_text();
}

void translate_health(core::HealthStatus status, config::Endpoint& out) {
  out.healthy = status == core::UNKNOWN || status == core::HEALTHY || status == core::DEGRADED;
  out.degraded = status == core::DEGRADED;
  out.draining = status == core::DRAINING;
}

/// What all endpoints of one entry share.
struct Group {
  const core::Metadata& metadata;
  std::uint32_t priority;
  std::uint32_t locality;
};

/// What all endpoints of a cluster share on their way.
struct AssignmentWork {
  const UpstreamSockets& sockets;
  const HealthTargets& targets;
  const BalancingPlan& plan;
  const EndpointNames& names;
  config::Cluster& out;
  TranslateContext& context;
  EndpointSources sources = {};
};

/// The addresses of one endpoint, the first of which it is known by, and what its cell has for an address, in which its
/// statistics and its connections are found again.
struct Place {
  std::vector<SocketAddress> addresses;
  SocketAddress cell;
  std::string pipe = {};  // its path; empty: an IP address
};

bool is_host(const IpAddress& ip) { return !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified(); }

// Of a name: where it is found now. A logical cluster has one place, whose cell is the name's: connections outlive its changes.
std::vector<Place> places_of_name(const core::SocketAddress& socket, const AssignmentWork& work) {
  std::vector<Place> out;
  const auto port = static_cast<std::uint16_t>(socket.port_value());
  const auto known =
      work.names.resolved == nullptr ? ResolvedNames::const_iterator() : work.names.resolved->find(socket.address());
  if (work.names.resolved == nullptr || known == work.names.resolved->end()) return out;
  std::vector<SocketAddress> addresses;
  for (const IpAddress& ip : known->second) {
    if (is_host(ip)) addresses.push_back({ip, port});  // else nobody to connect to
  }
  if (work.names.plan->logical) {
    if (addresses.size() > config::kMostAddresses) addresses.resize(config::kMostAddresses);
    const std::string name = socket.address() + ":" + std::to_string(port);
    if (!addresses.empty()) out.push_back({std::move(addresses), SocketAddress::of_pipe(name)});  // of a text like any other
    return out;
  }
  for (const SocketAddress& address : addresses) {
    const auto same = [&](const config::Endpoint& other) { return other.address == address; };
    if (std::ranges::none_of(work.out.endpoints, same)) out.push_back({{address}, address});
  }
  return out;
}

std::vector<SocketAddress> translate_addresses(const endpoint_api::Endpoint& source, const std::string& path,
                                               const AssignmentWork& work) {
  Diagnostics& diagnostics = work.context.diagnostics;
  std::vector<SocketAddress> out;
  if (const auto first = translate_address(source.address(), join_path(path, "address"), AddressUse::kEndpoint, diagnostics))
    out.push_back(*first);
  const std::string list = join_path(path, "additional_addresses");
  if (static_cast<std::size_t>(source.additional_addresses_size()) >= config::kMostAddresses) {
    diagnostics.error(list, "must hold at most " + std::to_string(config::kMostAddresses - 1) + " entries, holds " +
                                std::to_string(source.additional_addresses_size()));
    return out;
  }
  for (int i = 0; i < source.additional_addresses_size(); ++i) {
    const std::string at = join_path(index_path(list, static_cast<std::size_t>(i)), "address");
    const auto address = translate_address(source.additional_addresses(i).address(), at, AddressUse::kEndpoint, diagnostics);
    if (!address) continue;
    if (std::ranges::find(out, *address) != out.end()) {
      diagnostics.error(at, address->to_string() + " is given twice");
    } else {
      out.push_back(*address);
    }
  }
  return out;
}

std::vector<Place> places_of(const endpoint_api::Endpoint& endpoint, const std::string& path, const AssignmentWork& work) {
  const core::Address& address = endpoint.address();
  const core::SocketAddress& socket = address.socket_address();
  if (work.names.plan != nullptr && endpoint.additional_addresses_size() > 0) {
    work.context.diagnostics.error(join_path(path, "additional_addresses"),
                                   "is only for clusters of type STATIC and EDS: a name has the addresses that it leads to");
  }
  if (work.names.plan != nullptr && address.has_socket_address() && !IpAddress::parse(socket.address()))
    return places_of_name(socket, work);
  std::vector<SocketAddress> found = translate_addresses(endpoint, path, work);
  if (found.empty()) return {};
  const SocketAddress cell = found.front();
  return {{std::move(found), cell, address.has_pipe() ? address.pipe().path() : std::string()}};
}

/// Null: none. Endpoints in a row that have the same share them.
std::shared_ptr<const config::EndpointExtras> translate_extras(const endpoint_api::LbEndpoint& source, const Group& group,
                                                               const Place& place, const std::string& path,
                                                               AssignmentWork& work) {
  config::EndpointExtras out;
  out.attempts = order_attempts(place.addresses, work.out.happy_eyeballs);
  out.pipe = place.pipe;
  out.hostname = source.endpoint().hostname();
  if (out.hostname.empty() && work.names.plan != nullptr) out.hostname = source.endpoint().address().socket_address().address();
  UpstreamSocket socket = work.sockets.choose(source.metadata(), group.metadata);
  out.tls = std::move(socket.tls);
  out.proxy_protocol = std::move(socket.proxy_protocol);
  out.health_target = work.targets.make(source.endpoint(), place.addresses.front(), out, path, work.context.diagnostics);
  if (out == config::kNoExtras) return nullptr;
  if (!work.out.endpoints.empty()) {
    const auto& last = work.out.endpoints.back().shared_extras;
    if (last != nullptr && *last == out) return last;
  }
  return std::make_shared<const config::EndpointExtras>(std::move(out));
}

void translate_endpoint(const endpoint_api::LbEndpoint& source, const Group& group, const std::string& path,
                        AssignmentWork& work) {
  const std::string endpoint_path = join_path(path, "endpoint");
  for (const Place& place : places_of(source.endpoint(), endpoint_path, work)) {
    config::Endpoint endpoint;
    endpoint.address = place.addresses.front();
    if (source.has_load_balancing_weight()) endpoint.weight = source.load_balancing_weight().value();
    translate_health(source.health_status(), endpoint);
    const auto* canary = lb_metadata(source.metadata(), "canary");
    endpoint.canary = canary != nullptr && canary->bool_value();
    endpoint.priority = group.priority;
    endpoint.locality = group.locality;
    endpoint.shared_extras = translate_extras(source, group, place, endpoint_path, work);
    endpoint.cell = work.context.cells.endpoints.get({.cluster = work.out.cell->id, .address = place.cell});
    if (endpoint.healthy) work.out.healthy_weight += endpoint.weight;
    work.sources.hash_keys.push_back(hash_key(source.metadata(), endpoint, work.plan));
    if (work.plan.subsets != nullptr)
      work.sources.metadata.push_back(translate_endpoint_metadata(source.metadata(), work.plan.list_as_any));
    work.out.endpoints.push_back(std::move(endpoint));
  }
}

// Entries of one locality and priority are one.
std::uint32_t translate_locality(const endpoint_api::LocalityLbEndpoints& source, config::Cluster& out) {
  const config::LocalityName name = translate_locality_name(source.locality());
  std::uint32_t at = 0;
  while (at < out.localities.size() && !(out.localities[at] == name && out.localities[at].priority == source.priority())) ++at;
  if (at == out.localities.size()) out.localities.push_back({name, source.priority(), 0});
  if (source.has_load_balancing_weight()) out.localities[at].weight = source.load_balancing_weight().value();
  return at;
}

// As what endpoints have without any.
bool says_nothing(const config::Locality& locality) {
  return locality == config::LocalityName() && locality.priority == 0 && locality.weight == 0;
}

// By priority.
std::vector<std::shared_ptr<const config::HashTable>> build_tables(const std::vector<std::uint32_t>& among,
                                                                   const std::vector<std::string>& keys,
                                                                   const BalancingPlan& plan, const config::Cluster& cluster) {
  std::vector<std::shared_ptr<const config::HashTable>> out;
  const bool ring = cluster.load_balancing == config::LoadBalancing::kRingHash;
  if (!ring && cluster.load_balancing != config::LoadBalancing::kMaglev) return out;
  std::vector<std::vector<std::uint32_t>> hosts;
  for (const std::uint32_t host : among) {
    const std::uint32_t priority = cluster.endpoints[host].priority;
    if (hosts.size() <= priority) hosts.resize(priority + 1);
    hosts[priority].push_back(host);
  }
  for (const auto& of_priority : hosts) {
    auto shares = config::host_shares(cluster, of_priority);
    auto table = ring ? config::build_ring(std::move(shares), keys, plan.ring)
                      : config::build_maglev(std::move(shares), keys, plan.maglev_size);
    out.push_back(std::make_shared<const config::HashTable>(std::move(table)));
  }
  return out;
}

std::shared_ptr<const config::Subsets> build_subsets(const EndpointSources& sources, const BalancingPlan& plan,
                                                     const std::string& path, const config::Cluster& cluster,
                                                     Diagnostics& diagnostics) {
  config::Subsets& out = *plan.subsets;
  if (!config::index_subsets(sources.metadata, out)) {
    diagnostics.error(path, "have more than " + std::to_string(config::kMostSubsets) +
                                " combinations of values of the keys in subset_selectors");
  }
  for (config::Subset& subset : out.subsets)
    subset.hash_tables = build_tables(subset.endpoints, sources.hash_keys, plan, cluster);
  out.default_subset.hash_tables = build_tables(out.default_subset.endpoints, sources.hash_keys, plan, cluster);
  return plan.subsets;
}

// As in Envoy there is one at the most.
void translate_drop_overload(const endpoint_api::ClusterLoadAssignment::Policy& policy, const std::string& path,
                             config::Cluster& out, Diagnostics& diagnostics) {
  if (policy.drop_overloads_size() == 0) return;
  const std::string list = join_path(path, "drop_overloads");
  if (policy.drop_overloads_size() > 1) diagnostics.error(list, "must hold one entry: several are not supported, as in Envoy");
  const config::Fraction part = translate_fraction(policy.drop_overloads(0).drop_percentage());
  if (part.numerator > part.denominator)
    diagnostics.error(join_path(index_path(list, 0), "drop_percentage"), "must be at most the whole");
  const std::uint64_t million = 1'000'000;
  out.balancing.drop_overload_per_million = static_cast<std::uint32_t>(million * part.numerator / part.denominator);
}

void translate_policy(const endpoint_api::ClusterLoadAssignment::Policy& policy, const std::string& path, config::Cluster& out,
                      Diagnostics& diagnostics) {
  out.balancing.overprovisioning_factor = config::LoadBalancingOptions().overprovisioning_factor;
  out.balancing.drop_overload_per_million = 0;
  if (policy.has_overprovisioning_factor()) {
    out.balancing.overprovisioning_factor = policy.overprovisioning_factor().value();
    if (out.balancing.overprovisioning_factor > kMostOverprovisioning) {
      diagnostics.error(join_path(path, "overprovisioning_factor"), "must be at most " + std::to_string(kMostOverprovisioning) +
                                                                        ", is " +
                                                                        std::to_string(out.balancing.overprovisioning_factor));
    }
  }
  translate_drop_overload(policy, path, out, diagnostics);
  out.balancing.weighted_priority_health = policy.weighted_priority_health();
}

}  // namespace

config::LocalityName translate_locality_name(const envoy::config::core::v3::Locality& locality) {
  return {.region = locality.region(), .zone = locality.zone(), .sub_zone = locality.sub_zone()};
}

void translate_assignment(const endpoint_api::ClusterLoadAssignment& assignment, const std::string& path,
                          const UpstreamSockets& sockets, const HealthTargets& targets, const BalancingPlan& plan,
                          const EndpointNames& names, config::Cluster& out, TranslateContext& context) {
  const std::string list = join_path(path, "endpoints");
  translate_policy(assignment.policy(), join_path(path, "policy"), out, context.diagnostics);
  std::uint64_t weight = 0;
  std::size_t count = 0;
  AssignmentWork work{.sockets = sockets, .targets = targets, .plan = plan, .names = names, .out = out, .context = context};
  for (int i = 0; i < assignment.endpoints_size(); ++i) {
    const auto& group = assignment.endpoints(i);
    const std::string lb_path = join_path(index_path(list, static_cast<std::size_t>(i)), "lb_endpoints");
    const std::uint32_t locality = translate_locality(group, out);
    for (int k = 0; k < group.lb_endpoints_size(); ++k) {
      const auto& source = group.lb_endpoints(k);
      weight += source.has_load_balancing_weight() ? source.load_balancing_weight().value() : 1;
      if (++count > kMaxEndpointsPerCluster) continue;
      translate_endpoint(source, {group.metadata(), group.priority(), locality}, index_path(lb_path, static_cast<std::size_t>(k)),
                         work);
    }
  }
  if (count > kMaxEndpointsPerCluster) {
    context.diagnostics.error(
        list, "holds " + std::to_string(count) + " endpoints, more than " + std::to_string(kMaxEndpointsPerCluster));
  }
  if (weight > std::numeric_limits<std::uint32_t>::max()) {
    context.diagnostics.error(list, "the sum of the endpoints' weights must be at most 4294967295");
  }
  if (!context.diagnostics.ok()) return;
  if (out.localities.size() == 1 && says_nothing(out.localities.front())) out.localities.clear();
  out.localities.shrink_to_fit();
  out.endpoints.shrink_to_fit();  // there may be a hundred thousand of them
  std::vector<std::uint32_t> all(out.endpoints.size());
  std::iota(all.begin(), all.end(), 0u);
  out.hash_tables = build_tables(all, work.sources.hash_keys, plan, out);
  if (plan.subsets != nullptr) out.subsets = build_subsets(work.sources, plan, list, out, context.diagnostics);
}

}  // namespace millrace::agent
