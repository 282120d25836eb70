#include "dataplane/proxy/health/event_text.h"

#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string>

namespace millrace::proxy {
namespace {

using Json = nlohmann::json;

class EventText : public testing::Test {
 protected:
  EventText() {
    auto settings = std::make_shared<config::HealthCheck>();
    cluster.name = "app \"one\"\n";
    cluster.localities.push_back({{"north", "a", ""}, 0, 0});
    cluster.health_check = settings;
    endpoint.address = {IpAddress::v4(198, 18, 0, 1), 8080};
  }
  std::string write(const CheckEventFacts& facts) {
    std::array<char, 2'048> line;
    return {line.data(), write_check_event(facts, cluster, endpoint, line)};
  }
  Json event(const CheckEventFacts& facts) { return Json::parse(write(facts)); }

  config::Cluster cluster;
  config::Endpoint endpoint;
};

TEST_F(EventText, TellsWhoWhatAndWhen) {
  const std::string line = write(
      {.event = CheckEvent::kEject, .failure = CheckFailure::kNetworkTimeout, .wall_nanoseconds = 1'234'567'891'234'000'000});
  EXPECT_EQ(line.back(), '\n');
  EXPECT_EQ(Json::parse(line), Json::parse(R"({"health_checker_type": "HTTP", "host": {"socket_address": {"protocol": "TCP",
      "address": "198.18.0.1", "port_value": 8080, "resolver_name": "", "ipv4_compat": false}},
      "cluster_name": "app \"one\"\n", "eject_unhealthy_event": {"failure_type": "NETWORK_TIMEOUT"},
      "timestamp": "2009-02-13T23:31:31.234Z", "locality": {"region": "north", "zone": "a", "sub_zone": ""}})"));
}

TEST_F(EventText, NamesAUnixSocketByItsPath) {
  endpoint.address = SocketAddress::of_pipe("/run/app.sock");
  endpoint.own_extras().pipe = "/run/app.sock";
  EXPECT_EQ(event({})["host"], Json::parse(R"({"pipe": {"path": "/run/app.sock", "mode": 0}})"));
}

TEST_F(EventText, HasEnvoysNameForEachEvent) {
  EXPECT_EQ(event({.event = CheckEvent::kAdd, .first = true})["add_healthy_event"], Json({{"first_check", true}}));
  EXPECT_EQ(event({.event = CheckEvent::kSuccess})["successful_health_check_event"], Json::object());
  EXPECT_EQ(event({.event = CheckEvent::kFailure, .failure = CheckFailure::kPassive})["health_check_failure_event"],
            Json({{"failure_type", "PASSIVE"}, {"first_check", false}}));
  EXPECT_EQ(event({.event = CheckEvent::kDegraded})["degraded_healthy_host"], Json::object());
  EXPECT_EQ(event({.event = CheckEvent::kNoLongerDegraded})["no_longer_degraded_host"], Json::object());
  EXPECT_EQ(event({.event = CheckEvent::kEject})["eject_unhealthy_event"]["failure_type"], "ACTIVE");
  EXPECT_EQ(event({.event = CheckEvent::kEject, .failure = CheckFailure::kNetwork})["eject_unhealthy_event"]["failure_type"],
            "NETWORK");
}

TEST_F(EventText, NamesTheKindOfCheck) {
  auto settings = std::make_shared<config::HealthCheck>();
  settings->check = config::TcpHealthCheck{};
  cluster.health_check = settings;
  EXPECT_EQ(event({})["health_checker_type"], "TCP");
  settings->check = config::GrpcHealthCheck{};
  EXPECT_EQ(event({})["health_checker_type"], "GRPC");
}

TEST_F(EventText, ALineThatIsCutOffEndsAllTheSame) {
  std::array<char, 20> line;
  EXPECT_EQ(write_check_event({}, cluster, endpoint, line), 20u);
  EXPECT_EQ(line.back(), '\n');
}

}  // namespace
}  // namespace millrace::proxy
