#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const config::Cluster& cluster_of(const std::shared_ptr<const config::Snapshot>& snapshot) {
  return *snapshot->find_cluster("origin");
}

std::vector<std::string> refusals(const std::string& fields) {
  BootstrapText text;
  text.cluster = ", " + fields;
  return errors_of(text);
}

std::string endpoint(const std::string& address, const std::string& more = {}) {
  return "{endpoint: {address: {socket_address: {address: " + address + ", port_value: 80}}}" + more + "}";
}

TEST(TranslateCluster, HasEnvoysDefaults) {
  const auto snapshot = snapshot_of({});
  ASSERT_NE(snapshot, nullptr);
  const auto& cluster = cluster_of(snapshot);
  EXPECT_EQ(cluster.connect_timeout, Duration::seconds(5));
  EXPECT_EQ(cluster.load_balancing, config::LoadBalancing::kRoundRobin);
  EXPECT_EQ(cluster.least_request_choices, 2U);
  EXPECT_EQ(cluster.buffer_limit_bytes, 1024U * 1024);
  EXPECT_EQ(cluster.http.idle_timeout, Duration::seconds(3600));
  EXPECT_EQ(cluster.http.max_requests_per_connection, 0U);
  EXPECT_TRUE(cluster.http.max_connection_duration.is_infinite());
  EXPECT_EQ(cluster.endpoints.at(0).weight, 1U);
  EXPECT_EQ(cluster.endpoints.at(0).cell->key.cluster, cluster.cell->id);
  EXPECT_EQ(cluster.endpoints.at(0).cell->key.address, SocketAddress::parse("198.18.0.1:8080"));
  EXPECT_EQ(cluster.cell->name, "origin");
}

TEST(TranslateCluster, OfTypeEdsHasItsEndpointsElsewhere) {
  BootstrapText text;
  text.cluster = ", type: EDS, eds_cluster_config: {eds_config: {path: /nowhere/eds.yaml}}";
  const auto errors = errors_of(text);
  EXPECT_THAT(errors,
              ElementsAre("static_resources.clusters[0].load_assignment: is not used by a cluster of type EDS: leave it out"));
  EXPECT_THAT(refusals("type: EDS"), testing::Contains(HasSubstr("eds_cluster_config.eds_config: must be set")));
  EXPECT_THAT(refusals("eds_cluster_config: {eds_config: {path: /nowhere/eds.yaml}}"),
              ElementsAre(HasSubstr("eds_cluster_config: is only used by a cluster of type EDS")));
  EXPECT_THAT(refusals("type: EDS, eds_cluster_config: {eds_config: {ads: {}}}"),
              testing::Contains(HasSubstr("eds_config.ads: needs dynamic_resources.ads_config")));
}

TEST(TranslateCluster, OfNamesSaysWhatIsWrongWithThem) {
  const auto wrong = [](const std::string& cluster, const std::string& endpoints) {
    BootstrapText text;
    text.cluster = ", " + cluster;
    text.endpoints = endpoints;
    return errors_of(text);
  };
  const std::string one = "[{lb_endpoints: [" + endpoint("one.test") + "]}]";
  EXPECT_THAT(wrong("type: STRICT_DNS", one), testing::IsEmpty());
  EXPECT_THAT(wrong("type: LOGICAL_DNS", one), testing::IsEmpty());
  EXPECT_THAT(wrong("type: STATIC", one), ElementsAre(HasSubstr("\"one.test\" is not an IP address")));
  EXPECT_THAT(wrong("type: LOGICAL_DNS", "[{lb_endpoints: [" + endpoint("one.test") + ", " + endpoint("two.test") + "]}]"),
              ElementsAre(HasSubstr("load_assignment.endpoints: must hold one locality with one endpoint")));
  EXPECT_THAT(
      wrong("type: STRICT_DNS", "[{lb_endpoints: [{endpoint: {address: {socket_address: {address: a.test, port_value: 0}}}}]}]"),
      ElementsAre(HasSubstr("socket_address.port_value: must be 1 to 65535, is 0")));
  EXPECT_THAT(wrong("type: STRICT_DNS, dns_failure_refresh_rate: {base_interval: 2s, max_interval: 1s}", one),
              ElementsAre(HasSubstr("dns_failure_refresh_rate.max_interval: must be at least base_interval")));
  EXPECT_THAT(wrong("type: STRICT_DNS, dns_resolvers: [{socket_address: {address: ns.test, port_value: 53}}]", one),
              ElementsAre(HasSubstr("dns_resolvers[0].socket_address.address: \"ns.test\" is not an IP address")));
}

TEST(TranslateCluster, TakesPolicyTimesAndLimits) {
  BootstrapText text;
  text.cluster =
      ", alt_stat_name: other, connect_timeout: 0.25s, lb_policy: LEAST_REQUEST, least_request_lb_config: {choice_count: 4}, "
      "per_connection_buffer_limit_bytes: 65536, common_lb_config: {healthy_panic_threshold: {value: 33.7}}, "
      "typed_extension_protocol_options: "
      "{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": "
      "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: "
      "{}}, "
      "common_http_protocol_options: {idle_timeout: 9s, max_requests_per_connection: 5, max_headers_count: 50, "
      "max_connection_duration: 60s, max_stream_duration: 70s}}}";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& cluster = cluster_of(snapshot);
  EXPECT_EQ(cluster.alt_stat_name, "other");
  EXPECT_EQ(cluster.connect_timeout, Duration::milliseconds(250));
  EXPECT_EQ(cluster.load_balancing, config::LoadBalancing::kLeastRequest);
  EXPECT_EQ(cluster.least_request_choices, 4U);
  EXPECT_EQ(cluster.balancing.panic_threshold, 33U);
  EXPECT_EQ(cluster.buffer_limit_bytes, 65536U);
  EXPECT_EQ(cluster.http.idle_timeout, Duration::seconds(9));
  EXPECT_EQ(cluster.http.max_requests_per_connection, 5U);
  EXPECT_EQ(cluster.http.max_headers_count, 50U);
  EXPECT_EQ(cluster.http.max_connection_duration, Duration::seconds(60));
  EXPECT_EQ(cluster.http.max_stream_duration, Duration::seconds(70));
}

TEST(TranslateCluster, TakesWeightsAndHealth) {
  BootstrapText text;
  text.endpoints = "[{lb_endpoints: [" + endpoint("10.0.0.1", ", load_balancing_weight: 3") + ", " +
                   endpoint("10.0.0.2", ", health_status: UNHEALTHY") + ", " + endpoint("10.0.0.3", ", health_status: DEGRADED") +
                   "]}, {lb_endpoints: [" + endpoint("10.0.0.4", ", health_status: DRAINING") + "]}]";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& cluster = cluster_of(snapshot);
  std::vector<bool> healthy;
  for (const auto& e : cluster.endpoints) healthy.push_back(e.healthy);
  EXPECT_THAT(healthy, ElementsAre(true, false, true, false));
  EXPECT_EQ(cluster.endpoints[0].weight, 3U);
  EXPECT_EQ(cluster.healthy_weight, 4U);
}

/// "origin", and an aggregate with these further fields.
BootstrapText with_aggregate(const std::string& members, const std::string& more = "lb_policy: CLUSTER_PROVIDED") {
  BootstrapText text;
  const std::string all =
      ", {name: all, cluster_type: {name: envoy.clusters.aggregate, typed_config: {\"@type\": "
      "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig, clusters: " +
      members + "}}, " + more + "}";
  text.cluster = ", load_assignment: {cluster_name: origin, endpoints: " + text.endpoints + "}}" + all +
                 ", {name: spare";  // which takes the fixture's endpoints
  return text;
}

TEST(TranslateCluster, AnAggregateNamesItsMembersInOrder) {
  const std::string policy =
      "load_balancing_policy: {policies: [{typed_extension_config: {name: a, typed_config: {\"@type\": "
      "type.googleapis.com/envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided}}}]}";
  for (const std::string& more : {std::string("lb_policy: CLUSTER_PROVIDED"), policy}) {
    const auto snapshot = snapshot_of(with_aggregate("[spare, origin]", more));
    ASSERT_NE(snapshot, nullptr);
    const auto* aggregate = snapshot->find_cluster("all");
    ASSERT_NE(aggregate, nullptr);
    EXPECT_TRUE(aggregate->is_aggregate());
    EXPECT_THAT(aggregate->members, ElementsAre("spare", "origin"));
    EXPECT_FALSE(snapshot->find_cluster("origin")->is_aggregate());
  }
}

TEST(TranslateCluster, AnAggregateSaysWhatIsWrongWithIt) {
  const auto wrong = [](const std::string& members, const std::string& more = "lb_policy: CLUSTER_PROVIDED") {
    return errors_of(with_aggregate(members, more));
  };
  EXPECT_THAT(wrong("[origin, nowhere]"),
              ElementsAre("clusters[1]: there is no cluster \"nowhere\": define it, or leave it out"));
  EXPECT_THAT(wrong("[all]"), ElementsAre("clusters[0]: \"all\" has no endpoints to choose from: name clusters that have"));
  EXPECT_THAT(wrong("[origin, origin]"), ElementsAre("clusters[1]: names \"origin\" a second time"));
  EXPECT_THAT(wrong("[]"), ElementsAre(HasSubstr("clusters: ")));
  EXPECT_THAT(wrong("[origin]", "lb_policy: ROUND_ROBIN"),
              ElementsAre(HasSubstr("lb_policy: must be CLUSTER_PROVIDED in a cluster that brings its own")));
  EXPECT_THAT(wrong("[origin]",
                    "lb_policy: CLUSTER_PROVIDED, load_assignment: {cluster_name: a}, "
                    "lb_subset_config: {fallback_policy: ANY_ENDPOINT}, outlier_detection: {}"),
              ElementsAre(HasSubstr("load_assignment: is not used by an aggregate"), HasSubstr("lb_subset_config: is not used"),
                          HasSubstr("outlier_detection: is not used")));
}

/// "origin", and "passed", of type ORIGINAL_DST, with these further fields.
BootstrapText with_original_dst(const std::string& fields) {
  BootstrapText text;
  text.cluster = ", load_assignment: {cluster_name: origin, endpoints: " + text.endpoints +
                 "}}, {name: passed, type: ORIGINAL_DST, " + fields + "}, {name: spare";
  return text;
}

TEST(TranslateCluster, OfOriginalDestinationsTakesEveryField) {
  auto snapshot = snapshot_of(with_original_dst("lb_policy: CLUSTER_PROVIDED"));
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(snapshot->find_cluster("origin")->original_dst, nullptr);
  const config::OriginalDst defaults = *snapshot->find_cluster("passed")->original_dst;
  EXPECT_EQ(defaults.http_header, "");
  EXPECT_EQ(defaults.metadata_filter, "");
  EXPECT_EQ(defaults.port_override, std::nullopt);
  EXPECT_EQ(defaults.cleanup_interval, Duration::seconds(5));
  EXPECT_EQ(defaults.endpoint.extras().tls, nullptr);

  snapshot = snapshot_of(with_original_dst(
      "lb_policy: CLUSTER_PROVIDED, cleanup_interval: 60s, original_dst_lb_config: {use_http_header: true, "
      "http_header_name: X-To, upstream_port_override: 443, metadata_key: {key: chooser, path: [{key: a}, {key: b}]}}, "
      "transport_socket: {name: tls, typed_config: {\"@type\": "
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: a.example}}"));
  ASSERT_NE(snapshot, nullptr);
  const config::OriginalDst& all = *snapshot->find_cluster("passed")->original_dst;
  EXPECT_EQ(all.http_header, "x-to");
  EXPECT_EQ(all.metadata_filter, "chooser");
  EXPECT_THAT(all.metadata_path, ElementsAre("a", "b"));
  EXPECT_EQ(all.port_override, 443);
  EXPECT_EQ(all.cleanup_interval, Duration::seconds(60));
  EXPECT_NE(all.endpoint.extras().tls, nullptr);

  snapshot = snapshot_of(with_original_dst("lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: {use_http_header: true}"));
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(snapshot->find_cluster("passed")->original_dst->http_header, "x-envoy-original-dst-host");
}

TEST(TranslateCluster, OfOriginalDestinationsSaysWhatIsWrongWithIt) {
  const auto wrong = [](const std::string& fields) { return errors_of(with_original_dst(fields)); };
  const std::string policy = "lb_policy: CLUSTER_PROVIDED, ";
  EXPECT_THAT(wrong("lb_policy: RANDOM"), ElementsAre(HasSubstr("lb_policy: must be CLUSTER_PROVIDED")));
  EXPECT_THAT(wrong(policy + "load_assignment: {cluster_name: a}, outlier_detection: {}"),
              ElementsAre(HasSubstr("load_assignment: cannot be set"), HasSubstr("outlier_detection: cannot be set")));
  EXPECT_THAT(wrong(policy + "original_dst_lb_config: {http_header_name: x-to}"),
              ElementsAre(HasSubstr("http_header_name: is not used without use_http_header")));
  EXPECT_THAT(wrong(policy + "original_dst_lb_config: {upstream_port_override: 0}"),
              ElementsAre(HasSubstr("upstream_port_override: must be 1 to 65535, is 0")));
  EXPECT_THAT(refusals("original_dst_lb_config: {use_http_header: true}"),
              ElementsAre(HasSubstr("original_dst_lb_config: is only used by a cluster of type ORIGINAL_DST")));
}

TEST(TranslateCluster, TakesUpstreamConnectionOptions) {
  BootstrapText text;
  text.cluster =
      ", upstream_connection_options: {tcp_keepalive: {keepalive_probes: 3, keepalive_time: 60, keepalive_interval: 5}, "
      "happy_eyeballs_config: {first_address_family_version: V4, first_address_family_count: 2}}";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& cluster = cluster_of(snapshot);
  ASSERT_TRUE(cluster.keep_alive);
  EXPECT_EQ(cluster.keep_alive->probes, 3);
  EXPECT_EQ(cluster.keep_alive->idle(), Duration::seconds(60));
  EXPECT_EQ(cluster.keep_alive->interval(), Duration::seconds(5));
  EXPECT_EQ(cluster.happy_eyeballs.first, config::HappyEyeballs::First::kV4);
  EXPECT_EQ(cluster.happy_eyeballs.first_count, 2u);

  EXPECT_FALSE(cluster_of(snapshot_of({})).keep_alive);
  text.cluster = ", upstream_connection_options: {tcp_keepalive: {}}";
  const auto defaults = snapshot_of(text);
  ASSERT_NE(defaults, nullptr);
  EXPECT_EQ(cluster_of(defaults).keep_alive->probes, 9);
  EXPECT_EQ(cluster_of(defaults).keep_alive->idle(), Duration::seconds(7'200));
  EXPECT_EQ(cluster_of(defaults).keep_alive->interval(), Duration::seconds(75));
}

TEST(TranslateCluster, RefusesUpstreamConnectionOptionsThatLinuxWouldNotTake) {
  EXPECT_THAT(
      refusals("upstream_connection_options: {tcp_keepalive: {keepalive_probes: 128, keepalive_time: 0, "
               "keepalive_interval: 32768}}"),
      ElementsAre(HasSubstr("keepalive_probes: must be 1 to 127, is 128"), HasSubstr("keepalive_time: must be 1 to 32767, is 0"),
                  HasSubstr("keepalive_interval: must be 1 to 32767, is 32768")));
  EXPECT_THAT(refusals("upstream_connection_options: {set_local_interface_name_on_upstream_connections: true}"),
              ElementsAre(HasSubstr("is not supported yet: nobody could ask for the name")));
}

std::string additional(const std::vector<std::string>& addresses) {
  std::string out = "additional_addresses: [";
  for (const std::string& address : addresses)
    out += "{address: {socket_address: {address: \"" + address + "\", port_value: 8080}}}, ";
  return out + "]";
}

std::string dual_endpoint(const std::string& first, const std::vector<std::string>& others) {
  return "[{lb_endpoints: [{endpoint: {address: {socket_address: {address: \"" + first + "\", port_value: 8080}}, " +
         additional(others) + "}}]}]";
}

TEST(TranslateCluster, AddressesOfAnEndpointAreTriedInTurn) {
  const auto attempts = [](const std::string& options, const std::string& first, const std::vector<std::string>& others) {
    BootstrapText text;
    text.cluster = options;
    text.endpoints = dual_endpoint(first, others);
    const auto snapshot = snapshot_of(text);
    std::vector<std::string> out;
    if (snapshot == nullptr) return out;
    const config::Endpoint& endpoint = cluster_of(snapshot).endpoints.at(0);
    EXPECT_EQ(endpoint.address.ip, *IpAddress::parse(first)) << "which it is known by";
    EXPECT_EQ(cluster_of(snapshot).endpoints.size(), 1u);
    if (endpoint.extras().attempts == nullptr) return out;
    for (const SocketAddress& address : *endpoint.extras().attempts) out.push_back(address.ip.to_string());
    return out;
  };
  const std::string options = ", upstream_connection_options: {happy_eyeballs_config: ";
  const std::vector<std::string> others = {"2001:db8::2", "2001:db8::3", "198.18.0.2", "198.18.0.3"};
  EXPECT_THAT(attempts("", "2001:db8::1", {}), ElementsAre());
  EXPECT_THAT(attempts("", "2001:db8::1", others),
              ElementsAre("2001:db8::1", "198.18.0.2", "2001:db8::2", "198.18.0.3", "2001:db8::3"));
  EXPECT_THAT(attempts("", "198.18.0.1", others),
              ElementsAre("198.18.0.1", "2001:db8::2", "198.18.0.2", "2001:db8::3", "198.18.0.3"));
  EXPECT_THAT(attempts(options + "{first_address_family_version: V4}}", "2001:db8::1", others),
              ElementsAre("198.18.0.2", "2001:db8::1", "198.18.0.3", "2001:db8::2", "2001:db8::3"));
  EXPECT_THAT(attempts(options + "{first_address_family_count: 2}}", "2001:db8::1", others),
              ElementsAre("2001:db8::1", "2001:db8::2", "198.18.0.2", "2001:db8::3", "198.18.0.3"));
  EXPECT_THAT(attempts(options + "{first_address_family_version: V6}}", "198.18.0.1", {"198.18.0.2"}),
              ElementsAre("198.18.0.1", "198.18.0.2"));
}

TEST(TranslateCluster, SaysWhatIsWrongWithFurtherAddresses) {
  BootstrapText text;
  text.endpoints = dual_endpoint("198.18.0.1", {"198.18.0.1", "224.0.0.1"});
  EXPECT_THAT(errors_of(text),
              ElementsAre(HasSubstr("additional_addresses[0].address: 198.18.0.1:8080 is given twice"), HasSubstr("224.0.0.1")));
  text.endpoints = dual_endpoint("198.18.0.1", std::vector<std::string>(8, "198.18.0.2"));
  EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("additional_addresses: must hold at most 7 entries, holds 8")));
  text.cluster = ", type: STRICT_DNS";
  text.endpoints = dual_endpoint("one.test", {"198.18.0.2"});
  EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("additional_addresses: is only for clusters of type STATIC and EDS")));
}

TEST(TranslateCluster, RefusesValuesThatItCannotServe) {
  EXPECT_THAT(refusals("lb_policy: CLUSTER_PROVIDED"), ElementsAre(HasSubstr("lb_policy: CLUSTER_PROVIDED is only for")));
  EXPECT_THAT(refusals("typed_extension_protocol_options: {x: {\"@type\": "
                       "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, "
                       "explicit_http_config: {http_protocol_options: {}}}}"),
              ElementsAre(HasSubstr("typed_extension_protocol_options[\"x\"]: is not supported: the only key is")));
  EXPECT_THAT(
      refusals("typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": "
               "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: "
               "{http2_protocol_options: {}}}}"),
      ElementsAre(HasSubstr("explicit_http_config.http2_protocol_options: is not supported yet: clusters speak HTTP/1.1")));
}

TEST(TranslateCluster, RefusesEndpointsThatCannotBeReached) {
  BootstrapText text;
  text.endpoints =
      "[{lb_endpoints: [" + endpoint("0.0.0.0") + ", " + endpoint("224.0.0.1") + ", " + endpoint("a.example") + "]}]";
  EXPECT_THAT(errors_of(text), testing::UnorderedElementsAre(HasSubstr("0.0.0.0 names no host"),
                                                             HasSubstr("224.0.0.1 is not the address of one host"),
                                                             HasSubstr("\"a.example\" is not an IP address")));
}

TEST(TranslateCluster, HasEndpointsOnTheHost) {
  BootstrapText text;
  text.endpoints = "[{lb_endpoints: [" + endpoint("127.0.0.1") + ", " + endpoint("\"::1\"") +
                   ", {endpoint: {address: {pipe: {path: /run/origin.sock}}}}]}]";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& endpoints = snapshot->find_cluster("origin")->endpoints;
  ASSERT_EQ(endpoints.size(), 3u);
  EXPECT_TRUE(endpoints[0].address.ip.is_loopback());
  EXPECT_TRUE(endpoints[1].address.ip.is_loopback());
  EXPECT_EQ(endpoints[2].address, SocketAddress::of_pipe("/run/origin.sock"));
  EXPECT_EQ(endpoints[2].extras().pipe, "/run/origin.sock");
  EXPECT_EQ(endpoints[2].address_text(), "/run/origin.sock");
}

TEST(TranslateCluster, GivesEndpointsThatSayTheSameOneSetOfExtras) {
  BootstrapText text;
  const auto with_name = [](const std::string& ip, const std::string& name) {
    return "{endpoint: {hostname: " + name + ", address: {socket_address: {address: " + ip + ", port_value: 80}}}}";
  };
  text.endpoints = "[{lb_endpoints: [" + with_name("198.18.0.2", "one.example") + ", " + with_name("198.18.0.3", "one.example") +
                   ", " + with_name("198.18.0.4", "two.example") + ", " + endpoint("198.18.0.5") + "]}]";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& endpoints = snapshot->find_cluster("origin")->endpoints;
  ASSERT_EQ(endpoints.size(), 4u);
  EXPECT_EQ(endpoints[0].shared_extras, endpoints[1].shared_extras);
  EXPECT_EQ(endpoints[1].extras().hostname, "one.example");
  EXPECT_EQ(endpoints[2].extras().hostname, "two.example");
  EXPECT_EQ(endpoints[3].shared_extras, nullptr);
  EXPECT_EQ(endpoints[3].extras().hostname, "");
}

TEST(TranslateCluster, HasNoLocalitiesWhereNoneSaysAnything) {
  BootstrapText text;
  text.endpoints = "[{lb_endpoints: [" + endpoint("198.18.0.2") + "]}]";
  EXPECT_THAT(snapshot_of(text)->find_cluster("origin")->localities, testing::IsEmpty());
  text.endpoints = "[{locality: {zone: a}, lb_endpoints: [" + endpoint("198.18.0.2") + "]}]";
  EXPECT_EQ(snapshot_of(text)->find_cluster("origin")->localities.size(), 1u);
}

TEST(TranslateCluster, RefusesWeightsWhoseSumIsTooLarge) {
  BootstrapText text;
  text.endpoints =
      "[{lb_endpoints: [" + endpoint("10.0.0.1", ", load_balancing_weight: 4294967295") + ", " + endpoint("10.0.0.2") + "]}]";
  EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("endpoints: the sum of the endpoints' weights must be at most 4294967295")));
}

}  // namespace
}  // namespace millrace::agent::test
