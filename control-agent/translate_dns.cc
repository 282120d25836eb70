#include "control-agent/translate_dns.h"

#include "control-agent/translate_common.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.pb.h"
#include "envoy/extensions/network/dns_resolver/getaddrinfo/v3/getaddrinfo_dns_resolver.pb.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;
using envoy::config::cluster::v3::Cluster;
using envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
using envoy::extensions::network::dns_resolver::getaddrinfo::v3::GetAddrInfoDnsResolverConfig;

namespace {

constexpr std::uint16_t kDnsPort = 53;
constexpr Duration kShortestInterval = Duration::milliseconds(1);

std::string endpoint_path(const std::string& path, int group, int endpoint) {
  const std::string groups = join_path(path, "load_assignment.endpoints");
  return index_path(join_path(index_path(groups, static_cast<std::size_t>(group)), "lb_endpoints"),
                    static_cast<std::size_t>(endpoint));
}

void add_name(const core::Address& address, const std::string& path, DnsPlan& out, Diagnostics& diagnostics) {
  const core::SocketAddress& socket = address.socket_address();
  if (!address.has_socket_address() || IpAddress::parse(socket.address())) return;  // translate_address looks at it
  const auto refuse = [&](std::string_view field, std::string reason) {
    diagnostics.error(join_path(join_path(path, "socket_address"), field), std::move(reason));
  };
  if (socket.protocol() != core::SocketAddress::TCP) return refuse("protocol", "UDP is not supported: only TCP is");
  if (socket.port_value() == 0 || socket.port_value() > 65'535)
    return refuse("port_value", "must be 1 to 65535, is " + std::to_string(socket.port_value()));
  out.names.insert(socket.address());
}

void translate_names(const Cluster& cluster, const std::string& path, DnsPlan& out, Diagnostics& diagnostics) {
  const auto& groups = cluster.load_assignment().endpoints();
  for (int i = 0; i < groups.size(); ++i) {
    for (int k = 0; k < groups[i].lb_endpoints_size(); ++k) {
      add_name(groups[i].lb_endpoints(k).endpoint().address(), join_path(endpoint_path(path, i, k), "endpoint.address"), out,
               diagnostics);
    }
  }
  if (out.logical && (groups.size() != 1 || groups[0].lb_endpoints_size() != 1)) {
    diagnostics.error(join_path(path, "load_assignment.endpoints"),
                      "must hold one locality with one endpoint in a cluster of type LOGICAL_DNS");
  }
}

void translate_servers(const google::protobuf::RepeatedPtrField<core::Address>& servers, const std::string& path,
                       ResolverSettings& out, Diagnostics& diagnostics) {
  for (int i = 0; i < servers.size(); ++i) {
    const std::string at = index_path(path, static_cast<std::size_t>(i));
    auto address = translate_address(servers[i], at, AddressUse::kAdmin, diagnostics);  // asked by the host's kernel
    if (!address) continue;
    if (address->port == 0) address->port = kDnsPort;
    out.servers.push_back(*address);
  }
}

void translate_options(const core::DnsResolverOptions& options, ResolverSettings& out) {
  out.use_tcp = options.use_tcp_for_dns_lookups();
  out.no_search_domains = options.no_default_search_domain();
}

// The newest of the three ways to say it counts, as in Envoy.
void translate_resolver(const Cluster& cluster, const std::string& path, DnsPlan& out, Diagnostics& diagnostics) {
  if (cluster.has_typed_dns_resolver_config()) {
    const std::string at = join_path(path, "typed_dns_resolver_config.typed_config");
    const auto& any = cluster.typed_dns_resolver_config().typed_config();
    if (const auto cares = unpack<CaresDnsResolverConfig>(any)) {
      translate_servers(cares->resolvers(), join_path(at, "resolvers"), out.resolver, diagnostics);
      translate_options(cares->dns_resolver_options(), out.resolver);
      out.resolver.servers_as_fallback = cares->use_resolvers_as_fallback();
      out.filter_unroutable = cares->filter_unroutable_families();
    } else if (!any.Is<GetAddrInfoDnsResolverConfig>()) {
      diagnostics.error(at, "the type \"" + any.type_url() + "\" is not supported: use a CaresDnsResolverConfig");
    }
  } else if (cluster.has_dns_resolution_config()) {
    translate_servers(cluster.dns_resolution_config().resolvers(), join_path(path, "dns_resolution_config.resolvers"),
                      out.resolver, diagnostics);
    translate_options(cluster.dns_resolution_config().dns_resolver_options(), out.resolver);
  } else {
    translate_servers(cluster.dns_resolvers(), join_path(path, "dns_resolvers"), out.resolver, diagnostics);
    out.resolver.use_tcp = cluster.use_tcp_for_dns_lookups();
  }
}

void translate_times(const Cluster& cluster, const std::string& path, DnsPlan& out, Diagnostics& diagnostics) {
  if (cluster.has_dns_refresh_rate())
    out.refresh_rate = translate_duration(cluster.dns_refresh_rate(), join_path(path, "dns_refresh_rate"), diagnostics);
  out.respect_ttl = cluster.respect_dns_ttl();
  if (!cluster.has_dns_failure_refresh_rate()) return;
  const auto& rate = cluster.dns_failure_refresh_rate();
  const std::string at = join_path(path, "dns_failure_refresh_rate");
  DnsPlan::Backoff backoff;
  backoff.base = translate_duration(rate.base_interval(), join_path(at, "base_interval"), diagnostics);
  backoff.max = rate.has_max_interval() ? translate_duration(rate.max_interval(), join_path(at, "max_interval"), diagnostics)
                                        : backoff.base * 10;
  if (backoff.max < backoff.base) diagnostics.error(join_path(at, "max_interval"), "must be at least base_interval");
  if (backoff.base < kShortestInterval) diagnostics.error(join_path(at, "base_interval"), "must be at least 0.001s");
  out.failure_backoff = backoff;
}

}  // namespace

std::optional<DnsPlan> translate_dns(const Cluster& cluster, const std::string& path, TranslateContext& context) {
  if (cluster.cluster_discovery_type_case() != Cluster::kType) return std::nullopt;
  if (cluster.type() != Cluster::STRICT_DNS && cluster.type() != Cluster::LOGICAL_DNS) return std::nullopt;
  static constexpr LookupFamily kFamilies[] = {LookupFamily::kAuto, LookupFamily::kV4Only, LookupFamily::kV6Only,
                                               LookupFamily::kV4Preferred, LookupFamily::kAll};
  DnsPlan out;
  out.logical = cluster.type() == Cluster::LOGICAL_DNS;
  if (const auto family = static_cast<std::size_t>(cluster.dns_lookup_family()); family < std::size(kFamilies))
    out.family = kFamilies[family];
  out.warm_on_init = !cluster.has_wait_for_warm_on_init() || cluster.wait_for_warm_on_init().value();
  translate_names(cluster, path, out, context.diagnostics);
  translate_times(cluster, path, out, context.diagnostics);
  translate_resolver(cluster, path, out, context.diagnostics);
  return out;
}

}  // namespace millrace::agent
