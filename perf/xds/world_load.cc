// How long the agent takes for a large world, without network and workers: 10,000 clusters with ten endpoints each, 10,000
// virtual hosts in one route configuration; then one endpoint that changes. Prints JSON. Times are CPU times of this thread.
// Fails where a cluster takes more of the heap than it may.
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "config/model/snapshot_slot.h"
#include "control-agent/bootstrap_loader.h"
#include "control-agent/discovery/snapshot_publisher.h"
#include "control-agent/tls_secrets.h"
#include "control-agent/xds/xds_client.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"

namespace millrace::agent {
namespace {

constexpr int kEndpoints = 10;
constexpr int kChanges = 100;
/// With its endpoints, their cells, the messages that they came in, and its part of what does not grow.
constexpr double kMostHeapBytesPerCluster = 4096;

class FedTransport final : public XdsTransport {
 public:
  XdsStreamId open(const XdsServer&, const std::string&, XdsProtocol) override { return ++last_; }
  XdsStreamId open_load_reports(const XdsServer&) override { return 0; }  // nobody wants any
  void send(XdsStreamId, XdsRequest request) override {
    const auto* delta = dynamic_cast<const envoy::service::discovery::v3::DeltaDiscoveryRequest*>(request.get());
    if (delta != nullptr && delta->has_error_detail()) {
      std::fprintf(stderr, "rejected: %s\n", delta->error_detail().message().c_str());
      std::exit(1);
    }
  }
  void close(XdsStreamId) override {}
  std::vector<XdsStreamEvent> take_events() override { return std::exchange(events_, {}); }
  void feed(XdsResponse response) { events_.push_back({.stream = last_, .what = std::move(response)}); }

 private:
  XdsStreamId last_ = 0;
  std::vector<XdsStreamEvent> events_;
};

double cpu_milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

double heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

template <typename Message>
XdsResource pack(const std::string& name, const std::string& version, const Message& message) {
  XdsResource out{.name = name, .version = version, .body = {}, .has_body = true, .ttl = {}};
  out.body.PackFrom(message);
  return out;
}

XdsResponse response(ResourceType type, const std::string& version) {
  XdsResponse out;
  out.type_url = std::string(type_url(type));
  out.version = version;
  out.nonce = version;
  out.is_delta = true;
  return out;
}

std::string cluster_name(int i) { return "outbound|8080||service-" + std::to_string(i) + ".default.svc.cluster.local"; }

ClusterMessage cluster(int i) {
  ClusterMessage out;
  out.set_name(cluster_name(i));
  out.set_type(ClusterMessage::EDS);
  out.mutable_eds_cluster_config()->mutable_eds_config()->mutable_ads();
  out.mutable_connect_timeout()->set_seconds(10);
  out.set_lb_policy(ClusterMessage::LEAST_REQUEST);
  auto* limits = out.mutable_circuit_breakers()->add_thresholds();
  limits->mutable_max_connections()->set_value(4294967295U);
  limits->mutable_max_requests()->set_value(4294967295U);
  return out;
}

AssignmentMessage endpoints(int i, int generation) {
  AssignmentMessage out;
  out.set_cluster_name(cluster_name(i));
  auto* locality = out.add_endpoints();
  for (int k = 0; k < kEndpoints; ++k) {
    const int host = i * kEndpoints + k + (k == 0 ? generation * 1'000'000 : 0);
    auto* socket = locality->add_lb_endpoints()->mutable_endpoint()->mutable_address()->mutable_socket_address();
    socket->set_address("10." + std::to_string(host >> 16 & 255) + "." + std::to_string(host >> 8 & 255) + "." +
                        std::to_string(host & 255));
    socket->set_port_value(static_cast<std::uint32_t>(8080 + generation));
  }
  return out;
}

ListenerMessage listener() {
  using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
  ListenerMessage out;
  out.set_name("0.0.0.0_8080");
  auto* socket = out.mutable_address()->mutable_socket_address();
  socket->set_address("0.0.0.0");
  socket->set_port_value(8080);
  HttpConnectionManager manager;
  manager.set_stat_prefix("edge");
  manager.mutable_rds()->set_route_config_name("http.8080");
  manager.mutable_rds()->mutable_config_source()->mutable_ads();
  auto* router = manager.add_http_filters();
  router->set_name("router");
  router->mutable_typed_config()->PackFrom(envoy::extensions::filters::http::router::v3::Router());
  auto* filter = out.add_filter_chains()->add_filters();
  filter->set_name("hcm");
  filter->mutable_typed_config()->PackFrom(manager);
  return out;
}

RouteMessage routes(int hosts) {
  RouteMessage out;
  out.set_name("http.8080");
  for (int i = 0; i < hosts; ++i) {
    auto* host = out.add_virtual_hosts();
    const std::string name = "service-" + std::to_string(i) + ".default.svc.cluster.local";
    host->set_name(name + ":8080");
    host->add_domains(name);
    host->add_domains(name + ":8080");
    auto* route = host->add_routes();
    route->mutable_match()->set_prefix("/");
    route->mutable_route()->set_cluster(cluster_name(i));
  }
  return out;
}

constexpr const char* kBootstrap = R"(
node: {id: bench, cluster: bench}
static_resources:
  clusters:
  - name: xds
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /run/xds}}}}]}]}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
  cds_config: {ads: {}}
  lds_config: {ads: {}}
)";

int run(int clusters) {
  LoadOptions options;
  options.config_yaml = kBootstrap;
  options.concurrency = 2;
  auto loaded = load(options);
  if (!loaded) {
    for (const ConfigError& error : loaded.error()) std::fprintf(stderr, "%s\n", error.to_string().c_str());
    return 1;
  }
  FedTransport transport;
  XdsClient client({.bootstrap = *loaded->bootstrap,
                    .node = *loaded->node,
                    .publisher = *loaded->publisher,
                    .secrets = *loaded->secrets,
                    .discovered = *loaded->discovered_secrets,
                    .transport = transport},
                   1);
  config::SnapshotSlot slot;
  loaded->publisher->start(slot);
  Instant now = Instant::from_nanoseconds(1'000'000'000);
  const auto serve = [&] {
    const double start = cpu_milliseconds();
    now = now + Duration::milliseconds(1);
    client.service(now);
    client.service(now);
    return cpu_milliseconds() - start;
  };
  serve();
  XdsResponse cds = response(ResourceType::kCluster, "1");
  XdsResponse eds = response(ResourceType::kAssignment, "1");
  for (int i = 0; i < clusters; ++i) {
    cds.resources.push_back(pack(cluster_name(i), "1", cluster(i)));
    eds.resources.push_back(pack(cluster_name(i), "1", endpoints(i, 0)));
  }
  XdsResponse lds = response(ResourceType::kListener, "1");
  lds.resources.push_back(pack("0.0.0.0_8080", "1", listener()));
  nlohmann::ordered_json out;
  out["clusters"] = clusters;
  double load = 0;
  const auto step = [&](const char* name, XdsResponse given) {
    transport.feed(std::move(given));
    const double spent = serve();
    out[name] = spent;
    load += spent;
  };
  // Messages included, which stay in the agent; not the responses, which are made here.
  step("clusters_ms", std::move(cds));
  step("endpoints_ms", std::move(eds));
  malloc_trim(0);
  const double after_clusters = heap_bytes();
  XdsResponse rds = response(ResourceType::kRoutes, "1");
  rds.resources.push_back(pack("http.8080", "1", routes(clusters)));
  step("listeners_ms", std::move(lds));
  step("routes_ms", std::move(rds));
  out["load_ms"] = load;
  if (loaded->publisher->snapshot()->clusters.size() != static_cast<std::size_t>(clusters) ||
      loaded->publisher->snapshot()->listeners.size() != 1) {
    std::fprintf(stderr, "not all of the world has come\n");
    return 1;
  }
  std::vector<double> changes;
  for (int i = 1; i <= kChanges; ++i) {
    XdsResponse change = response(ResourceType::kAssignment, std::to_string(i + 1));
    change.resources.push_back(pack(cluster_name(i), std::to_string(i + 1), endpoints(i, i)));
    const std::uint64_t before = loaded->publisher->snapshot()->version;
    transport.feed(std::move(change));
    changes.push_back(serve());
    slot.collect(loaded->publisher->snapshot()->version);
    if (loaded->publisher->snapshot()->version != before + 1) {
      std::fprintf(stderr, "a change made no snapshot\n");
      return 1;
    }
  }
  std::ranges::sort(changes);
  out["change_ms_median"] = changes[changes.size() / 2];
  out["change_ms_most"] = changes.back();
  out["heap_bytes_per_cluster"] = after_clusters / clusters;
  std::puts(out.dump(2).c_str());
  if (after_clusters / clusters <= kMostHeapBytesPerCluster) return 0;
  std::fprintf(stderr, "a cluster takes more than %.0f bytes of the heap\n", kMostHeapBytesPerCluster);
  return 1;
}

}  // namespace
}  // namespace millrace::agent

int main(int argc, char** argv) { return millrace::agent::run(argc > 1 ? std::atoi(argv[1]) : 10'000); }
