// Configuration that files bring while the gateway runs.
#include "control-agent/discovery/file_discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/discovery/discovery_fixture.h"

namespace millrace::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class FileDiscoveryTest : public test::DiscoveryTest {
 protected:
  static std::string first_cluster(const config::Snapshot& snapshot) {
    const auto& action = snapshot.listeners.at(0)->chains[0].http()->routes->virtual_hosts.at(0).routes.at(0).action;
    return std::get<config::ForwardAction>(action).clusters.at(0).name;
  }
  static SubscriptionStats stats_of(const Loaded& loaded, ResourceType type) {
    for (const auto& [subscription, stats] : loaded.discovery->stats())
      if (subscription.type == type) return stats;
    ADD_FAILURE() << "no such subscription";
    return {};
  }
};

TEST_F(FileDiscoveryTest, ClustersAndListenersAreThereFromTheStart) {
  place("cds.yaml", test::kClusterType, {test::static_cluster_text("a"), test::static_cluster_text("b")});
  place("lds.yaml", test::kListenerType,
        {test::listener_text("edge", 80, "route_config: {" + test::routes_text("r", "a") + "}")});
  const Loaded loaded = load_good(cds() + ", " + lds());
  EXPECT_THAT(loaded.warnings, IsEmpty());
  EXPECT_EQ(loaded.snapshot->version, 2u);
  EXPECT_THAT(loaded.snapshot->clusters, SizeIs(2));
  ASSERT_THAT(loaded.snapshot->listeners, SizeIs(1));
  EXPECT_EQ(loaded.snapshot->listeners[0]->name, "edge");
  EXPECT_EQ(stats_of(loaded, ResourceType::kCluster).update_success, 1u);
  EXPECT_EQ(stats_of(loaded, ResourceType::kCluster).version_text, "1");
}

TEST_F(FileDiscoveryTest, AFileThatDoesNotExistIsAnErrorAtItsField) {
  LoadOptions options;
  options.config_yaml = "{dynamic_resources: {" + cds() + "}}";
  options.concurrency = 1;
  const auto loaded = load(options);
  ASSERT_FALSE(loaded);
  ASSERT_THAT(loaded.error(), SizeIs(1));
  EXPECT_EQ(loaded.error()[0].path, "dynamic_resources.cds_config");
  EXPECT_THAT(loaded.error()[0].reason, HasSubstr("cds.yaml\" does not exist"));
}

TEST_F(FileDiscoveryTest, WhatIsRefusedStaysKnownUntilItIsGood) {
  place("cds.yaml", test::kClusterType, {test::static_cluster_text("a"), test::static_cluster_text("b")});
  const Loaded loaded = load_good(cds());
  EXPECT_THAT(loaded.discovery->refused(), IsEmpty());
  place("cds.yaml", test::kClusterType,
        {test::static_cluster_text("a") + ", connect_timeout: -1s", test::static_cluster_text("b")}, "2");
  (void)loaded.discovery->follow();
  const auto refused = loaded.discovery->refused();
  ASSERT_THAT(refused, SizeIs(2)) << "the file is taken as a whole or not at all";
  const auto& [key, update] = *refused.begin();
  EXPECT_EQ(key.type, ResourceType::kCluster);
  EXPECT_EQ(key.name, "a");
  EXPECT_EQ(update.version, "2");
  EXPECT_THAT(update.details, HasSubstr("resources[0].connect_timeout"));
  EXPECT_EQ(dynamic_cast<const ClusterMessage&>(*update.content).connect_timeout().seconds(), -1);
  const auto shown = dynamic_resources(*loaded.publisher->world(), loaded.discovery->stats(), {}, refused).clusters;
  ASSERT_THAT(shown, SizeIs(2));
  EXPECT_EQ(shown[0].version, "1") << "what is in use";
  EXPECT_TRUE(shown[0].refused);
  place("cds.yaml", test::kClusterType, {test::static_cluster_text("a"), test::static_cluster_text("b")}, "3");
  (void)loaded.discovery->follow();
  EXPECT_THAT(loaded.discovery->refused(), IsEmpty());
}

TEST_F(FileDiscoveryTest, AnUpdateKeepsWhatItDoesNotChange) {
  place("cds.yaml", test::kClusterType,
        {test::static_cluster_text("same"), test::static_cluster_text("other"), test::static_cluster_text("gone")});
  const Loaded loaded = load_good(cds());
  const auto before = loaded.publisher->snapshot();
  EXPECT_THAT(loaded.discovery->follow(), IsEmpty());
  place("cds.yaml", test::kClusterType,
        {test::static_cluster_text("new"), test::static_cluster_text("other", "198.18.0.9"), test::static_cluster_text("same")},
        "2");
  const auto reports = loaded.discovery->follow();
  ASSERT_THAT(reports, SizeIs(1));
  EXPECT_THAT(reports[0].errors, IsEmpty());
  EXPECT_EQ(reports[0].version, "2");
  const auto after = loaded.publisher->snapshot();
  EXPECT_EQ(after->version, before->version + 1);
  EXPECT_EQ(after->find_cluster("same"), before->find_cluster("same"));
  EXPECT_NE(after->find_cluster("other"), before->find_cluster("other"));
  EXPECT_EQ(after->find_cluster("gone"), nullptr);
  EXPECT_NE(after->find_cluster("new"), nullptr);
  const auto world = loaded.publisher->world();
  EXPECT_EQ(world->cluster_changes.added, 4u);
  EXPECT_EQ(world->cluster_changes.modified, 1u);
  EXPECT_EQ(world->cluster_changes.removed, 1u);
}

TEST_F(FileDiscoveryTest, AFileThatSaysTheSameIsNoNewSnapshot) {
  place("cds.yaml", test::kClusterType, {test::static_cluster_text("a")}, "1");
  const Loaded loaded = load_good(cds());
  const auto before = loaded.publisher->snapshot();
  place("cds.yaml", test::kClusterType, {test::static_cluster_text("a")}, "2");
  EXPECT_THAT(loaded.discovery->follow(), SizeIs(1));
  EXPECT_EQ(loaded.publisher->snapshot(), before);
  EXPECT_EQ(stats_of(loaded, ResourceType::kCluster).version_text, "2");
}

TEST_F(FileDiscoveryTest, ABadFileLeavesEverythingAsItWas) {
  place("cds.yaml", test::kClusterType, {test::static_cluster_text("a")});
  const Loaded loaded = load_good(cds());
  const auto before = loaded.publisher->snapshot();
  place("cds.yaml", test::kClusterType, {test::static_cluster_text("fine"), test::static_cluster_text("wrong", "0.0.0.0")});
  const auto rejected = loaded.discovery->follow();
  ASSERT_THAT(rejected, SizeIs(1));
  ASSERT_THAT(rejected[0].errors, SizeIs(1));
  const ConfigError& error = rejected[0].errors[0];
  EXPECT_EQ(error.file, file("cds.yaml").string());
  EXPECT_EQ(error.line, 4u);
  EXPECT_EQ(error.path, "resources[1].load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address");
  EXPECT_THAT(error.reason, HasSubstr("names no host"));
  place_text("cds.yaml", "resources: [");
  EXPECT_THAT(loaded.discovery->follow(), SizeIs(1));
  EXPECT_EQ(loaded.publisher->snapshot(), before);
  const SubscriptionStats stats = stats_of(loaded, ResourceType::kCluster);
  EXPECT_EQ(stats.update_attempt, 3u);
  EXPECT_EQ(stats.update_success, 1u);
  EXPECT_EQ(stats.update_rejected, 1u);
  EXPECT_EQ(stats.update_failure, 1u);
  EXPECT_EQ(stats.version_text, "1");
}

TEST_F(FileDiscoveryTest, RulesSupportTypesAndNamesAreChecked) {
  place("cds.yaml", test::kClusterType, {});
  const Loaded loaded = load_good(cds());
  const auto reasons = [&](const std::vector<std::string>& resources, const char* type) {
    place("cds.yaml", type, resources);
    std::vector<std::string> out;
    for (const FileReport& report : loaded.discovery->follow())
      for (const ConfigError& error : report.errors) out.push_back(error.path + ": " + error.reason);
    return out;
  };
  EXPECT_THAT(reasons({test::static_cluster_text("x") + ", connect_timeout: 0s"}, test::kClusterType),
              ElementsAre(HasSubstr("resources[0].connect_timeout: ")));
  EXPECT_THAT(reasons({test::static_cluster_text("x") + ", preconnect_policy: {}"}, test::kClusterType),
              ElementsAre(HasSubstr("resources[0].preconnect_policy: is not supported")));
  EXPECT_THAT(reasons({test::routes_text("x", "y")}, test::kRoutesType),
              ElementsAre(HasSubstr("must be a envoy.config.cluster.v3.Cluster")));
  EXPECT_THAT(reasons({test::static_cluster_text("x"), test::static_cluster_text("x")}, test::kClusterType),
              ElementsAre("resources[1].name: the name \"x\" is already taken by resources[0]"));
}

TEST_F(FileDiscoveryTest, ResourcesOfTheBootstrapStay) {
  place("cds.yaml", test::kClusterType, {test::static_cluster_text("mine", "198.18.0.7"), test::static_cluster_text("theirs")});
  const Loaded loaded = load_good(cds(), "clusters: [{" + test::static_cluster_text("mine") + "}]");
  EXPECT_EQ(loaded.snapshot->find_cluster("mine")->endpoints[0].address.to_string(), "198.18.0.1:8080");
  EXPECT_THAT(loaded.warnings, ElementsAre(HasSubstr("resources[0]: is passed over")));
  place("cds.yaml", test::kClusterType, {});
  EXPECT_THAT(loaded.discovery->follow(), SizeIs(1));
  EXPECT_NE(loaded.publisher->snapshot()->find_cluster("mine"), nullptr);
  EXPECT_EQ(loaded.publisher->snapshot()->find_cluster("theirs"), nullptr);
}

TEST_F(FileDiscoveryTest, EndpointsOfAClusterComeFromItsFile) {
  place("eds.yaml", test::kAssignmentType, {test::endpoints_text("service", {"198.18.0.1"})});
  place_text("cds.yaml",
             "resources: [{\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: a, type: EDS, "
             "eds_cluster_config: {service_name: service, eds_config: {path: " +
                 file("eds.yaml").string() + "}}}]");
  const Loaded loaded = load_good(cds());
  EXPECT_THAT(loaded.warnings, IsEmpty());
  EXPECT_THAT(loaded.snapshot->find_cluster("a")->endpoints, SizeIs(1));
  place("eds.yaml", test::kAssignmentType, {test::endpoints_text("service", {"198.18.0.1", "198.18.0.3"})}, "2");
  EXPECT_THAT(loaded.discovery->follow(), SizeIs(1));
  EXPECT_THAT(loaded.publisher->snapshot()->find_cluster("a")->endpoints, SizeIs(2));
  place("eds.yaml", test::kAssignmentType, {test::endpoints_text("another", {"198.18.0.4"})}, "3");
  const auto reports = loaded.discovery->follow();
  ASSERT_THAT(reports, SizeIs(1));
  ASSERT_THAT(reports[0].errors, SizeIs(1));
  EXPECT_EQ(reports[0].errors[0].reason, "hold no ClusterLoadAssignment \"service\", which is asked for; they hold \"another\"");
  EXPECT_THAT(loaded.publisher->snapshot()->find_cluster("a")->endpoints, SizeIs(2));
}

// Only its endpoints are dynamic, and only priority 0 can be compared by zone.
TEST_F(FileDiscoveryTest, EndpointsOfTheLocalClusterComeFromItsFile) {
  const auto zones = [&](const std::string& more) {
    return "cluster_name: gateways, endpoints: [{locality: {zone: a}, lb_endpoints: "
           "[{endpoint: {address: {socket_address: {address: 198.18.0.1, port_value: 80}}}}]" +
           more + "}]";
  };
  place("eds.yaml", test::kAssignmentType, {zones("")});
  const auto load_with = [&](const std::string& clusters) {
    LoadOptions options;
    options.config_yaml =
        "{node: {locality: {region: north, zone: a, sub_zone: x}}, cluster_manager: {local_cluster_name: gateways}, "
        "static_resources: {clusters: [" +
        clusters + "]}}";
    options.concurrency = 2;
    return load(options);
  };
  const auto loaded = load_with("{" + test::eds_cluster_text("gateways", file("eds.yaml")) + "}");
  ASSERT_TRUE(loaded) << loaded.error().front().to_string();
  EXPECT_EQ(loaded->snapshot->local_cluster, "gateways");
  EXPECT_EQ(loaded->snapshot->locality, (config::LocalityName{"north", "a", "x"}));
  EXPECT_THAT(loaded->snapshot->find_cluster("gateways")->endpoints, SizeIs(1));
  place("eds.yaml", test::kAssignmentType, {zones(", priority: 1")}, "2");
  const auto reports = loaded->discovery->follow();
  ASSERT_THAT(reports, SizeIs(1));
  ASSERT_THAT(reports[0].errors, SizeIs(1));
  EXPECT_EQ(reports[0].errors[0].path, "resources[0].endpoints");
  EXPECT_EQ(reports[0].errors[0].reason, "must all have priority 0: \"gateways\" is the local cluster");

  const auto elsewhere = load_with("{" + test::static_cluster_text("others") + "}");
  ASSERT_FALSE(elsewhere);
  ASSERT_THAT(elsewhere.error(), SizeIs(1));
  EXPECT_EQ(elsewhere.error()[0].path, "cluster_manager.local_cluster_name");
  EXPECT_THAT(elsewhere.error()[0].reason, HasSubstr("there is no cluster \"gateways\" in static_resources"));
}

TEST_F(FileDiscoveryTest, RoutesOfAListenerComeFromTheirFileAndLeaveTheListenerAlone) {
  place("rds.yaml", test::kRoutesType, {test::routes_text("r", "a")});
  place("lds.yaml", test::kListenerType, {test::listener_text("edge", 80, test::rds_text("r", file("rds.yaml")))});
  const Loaded loaded = load_good(lds(), "clusters: [{" + test::static_cluster_text("a") + "}]");
  EXPECT_THAT(loaded.warnings, IsEmpty());
  EXPECT_EQ(first_cluster(*loaded.snapshot), "a");
  place("rds.yaml", test::kRoutesType, {test::routes_text("r", "comes-later")}, "2");
  EXPECT_THAT(loaded.discovery->follow(), SizeIs(1));
  const auto after = loaded.publisher->snapshot();
  EXPECT_EQ(first_cluster(*after), "comes-later");
  EXPECT_EQ(after->listeners[0]->content_hash, loaded.snapshot->listeners[0]->content_hash) << "its connections stay";
}

TEST_F(FileDiscoveryTest, AListenerWhoseRoutesAreBadServesWithoutThem) {
  place("rds.yaml", test::kRoutesType, {"name: r, virtual_hosts: [{name: v, domains: []}]"});
  place("lds.yaml", test::kListenerType, {test::listener_text("edge", 80, test::rds_text("r", file("rds.yaml")))});
  const Loaded loaded = load_good(lds());
  EXPECT_THAT(loaded.warnings, ElementsAre(HasSubstr("rds.yaml:3: resources[0].virtual_hosts[0].domains")));
  ASSERT_THAT(loaded.snapshot->listeners, SizeIs(1));
  EXPECT_THAT(loaded.snapshot->listeners[0]->chains[0].http()->routes->virtual_hosts, IsEmpty());
  place("rds.yaml", test::kRoutesType, {test::routes_text("r", "a")});
  EXPECT_THAT(loaded.discovery->follow(), SizeIs(1));
  EXPECT_EQ(first_cluster(*loaded.publisher->snapshot()), "a");
}

TEST_F(FileDiscoveryTest, WhatNobodyNamesAnyMoreIsForgotten) {
  place("eds.yaml", test::kAssignmentType, {test::endpoints_text("a", {"198.18.0.1"})});
  place("cds.yaml", test::kClusterType, {test::eds_cluster_text("a", file("eds.yaml"))});
  const Loaded loaded = load_good(cds());
  EXPECT_THAT(loaded.discovery->stats(), SizeIs(2));
  place("cds.yaml", test::kClusterType, {test::static_cluster_text("b")});
  EXPECT_THAT(loaded.discovery->follow(), SizeIs(1));
  EXPECT_THAT(loaded.discovery->stats(), SizeIs(1));
  EXPECT_TRUE(loaded.publisher->world()->resources.assignments.empty());
  place("eds.yaml", test::kAssignmentType, {test::endpoints_text("a", {"198.18.0.2"})});
  EXPECT_THAT(loaded.discovery->follow(), IsEmpty()) << "nobody watches it";
}

TEST_F(FileDiscoveryTest, AWatchedDirectoryTellsOfSwappedLinksAsKubernetesMakesThem) {
  namespace fs = std::filesystem;
  fs::create_directories(directory_ / "..1");
  fs::create_directories(directory_ / "..2");
  fs::create_directory_symlink("..1", directory_ / "..data");
  fs::create_symlink("..data/cds.yaml", directory_ / "cds.yaml");
  place("..1/cds.yaml", test::kClusterType, {test::static_cluster_text("a")});
  place("..2/cds.yaml", test::kClusterType, {test::static_cluster_text("b")});
  const Loaded loaded = load_good("cds_config: {path_config_source: {path: " + file("cds.yaml").string() +
                                  ", watched_directory: {path: " + directory_.string() + "}}}");
  EXPECT_NE(loaded.snapshot->find_cluster("a"), nullptr);
  fs::create_directory_symlink("..2", directory_ / "..data_tmp");
  fs::rename(directory_ / "..data_tmp", directory_ / "..data");
  EXPECT_THAT(loaded.discovery->follow(), SizeIs(1));
  EXPECT_EQ(loaded.publisher->snapshot()->find_cluster("a"), nullptr);
  EXPECT_NE(loaded.publisher->snapshot()->find_cluster("b"), nullptr);
}

TEST_F(FileDiscoveryTest, WritingIntoAFileIsNoNews) {
  place("cds.yaml", test::kClusterType, {test::static_cluster_text("a")});
  const Loaded loaded = load_good(cds());
  std::ofstream(file("cds.yaml")) << "half of";
  place("beside.yaml", test::kClusterType, {});
  EXPECT_THAT(loaded.discovery->follow(), IsEmpty());
}

TEST_F(FileDiscoveryTest, AnAddressHasOneListener) {
  const std::string routes = "route_config: {" + test::routes_text("r", "a") + ", validate_clusters: false}";
  place("lds.yaml", test::kListenerType, {test::listener_text("edge", 80, routes)});
  const Loaded loaded = load_good(lds());
  place("lds.yaml", test::kListenerType, {test::listener_text("edge", 80, routes), test::listener_text("other", 80, routes)});
  const auto reports = loaded.discovery->follow();
  ASSERT_THAT(reports, SizeIs(1));
  ASSERT_THAT(reports[0].errors, SizeIs(1));
  EXPECT_EQ(reports[0].errors[0].path, "resources[1].address");
}

TEST_F(FileDiscoveryTest, ConfigurationsOfFiltersComeFromFilesToo) {
  const std::string type = "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer";
  const auto buffer = [&](int bytes) {
    return "name: limit, typed_config: {\"@type\": " + type + ", max_request_bytes: " + std::to_string(bytes) + "}";
  };
  place("ecds.yaml", test::kExtensionType, {buffer(10)});
  place("cds.yaml", test::kClusterType, {test::static_cluster_text("a")});
  std::string listener = test::listener_text("edge", 80, "route_config: {" + test::routes_text("r", "a") + "}");
  listener.insert(listener.find("{name: router"), "{name: limit, config_discovery: {config_source: {path_config_source: {path: " +
                                                      file("ecds.yaml").string() + "}}, type_urls: [" + type + "]}}, ");
  place("lds.yaml", test::kListenerType, {listener});
  const Loaded loaded = load_good(cds() + ", " + lds());
  EXPECT_THAT(loaded.warnings, IsEmpty());
  const auto limit = [&] {
    const auto& filter = loaded.publisher->snapshot()->listeners.at(0)->chains[0].http()->filters.at(0);
    return std::get<config::BufferRequests>(filter.config).max_request_bytes;
  };
  EXPECT_EQ(limit(), 10u);
  place("ecds.yaml", test::kExtensionType, {buffer(20)}, "2");
  EXPECT_THAT(loaded.discovery->follow(), SizeIs(1));
  EXPECT_EQ(limit(), 20u);
  place("ecds.yaml", test::kExtensionType,
        {"name: limit, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}"}, "3");
  const auto refused = loaded.discovery->follow();
  ASSERT_THAT(refused, SizeIs(1));
  ASSERT_THAT(refused[0].errors, SizeIs(1));
  EXPECT_EQ(refused[0].errors[0].path, "resources[0].typed_config");
  EXPECT_EQ(limit(), 20u) << "what ran goes on";
}

}  // namespace
}  // namespace millrace::agent
