#include "dataplane/app/port_report.h"

#include <gtest/gtest.h>

#include "tests/support/fake_port.h"

namespace millrace::app {
namespace {

using Json = nlohmann::ordered_json;

class PortReport : public ::testing::Test {
 protected:
  PortReport() {
    port_.port_info.offloads = {{.name = "rss", .offered = true, .where = nic::Place::kDevice},
                                {.name = "tx_tcp_checksum", .where = nic::Place::kModel},
                                {.name = "tx_multi_segment", .offered = true, .reason = "too few parts"},
                                {.name = "rx_l4_checksum", .reason = "the driver does not offer it"}};
    port_.rule_uses = {{.name = "telnet", .where = nic::Place::kModel, .hits = 7, .dropped = 5},
                       {.name = "https", .reason = "one queue"}};
  }
  nic::HeapPool pool_{1};
  test::FakePort port_{pool_};
};

TEST_F(PortReport, SaysInOneLineWhoDoesWhat) {
  EXPECT_EQ(offloads_text(port_.port_info.offloads),
            "device: rss; model: tx_tcp_checksum; software: tx_multi_segment (offered), rx_l4_checksum");
  EXPECT_EQ(rule_text(port_.rule_uses[0]), "telnet: model");
  EXPECT_EQ(rule_text(port_.rule_uses[1]), "https: software (one queue)");
}

TEST_F(PortReport, SaysOfEachOffloadWhetherItIsOfferedAndUsedAndWhyNot) {
  const Json offloads = port_json(port_)["offloads"];
  EXPECT_EQ(offloads["rss"], (Json{{"offered", true}, {"used", true}, {"where", "device"}}));
  EXPECT_EQ(offloads["tx_tcp_checksum"], (Json{{"offered", false}, {"used", true}, {"where", "model"}}));
  EXPECT_EQ(offloads["tx_multi_segment"],
            (Json{{"offered", true}, {"used", false}, {"where", "software"}, {"why", "too few parts"}}));
}

TEST_F(PortReport, LeavesOutWhatNobodyCounts) {
  const Json json = port_json(port_);
  EXPECT_EQ(json["rules"][0], (Json{{"name", "telnet"}, {"where", "model"}, {"hits", 7}, {"dropped", 5}}));
  EXPECT_EQ(json["rules"][1], (Json{{"name", "https"}, {"where", "software"}, {"why", "one queue"}}));
  EXPECT_FALSE(json.contains("queue_packets"));
}

}  // namespace
}  // namespace millrace::app
