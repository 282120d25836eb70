#include "nic/rules/ruled_port.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/support/fake_port.h"
#include "tests/support/frames.h"

namespace millrace::nic {
namespace {

class RuledPort_Receive : public ::testing::Test {
 protected:
  RuledPort make(std::vector<FlowRule> rules, std::vector<RuleUse> uses = {}) {
    auto fake = std::make_unique<test::FakePort>(pool_);
    fake->rule_uses = std::move(uses);
    fake_ = fake.get();
    return RuledPort(std::move(fake), rules, [this] { return now_; });
  }
  static std::vector<std::uint8_t> to_port(const char* address, int vlan = -1) {
    return test::frame({.to = address, .vlan = vlan});
  }

  HeapPool pool_{64};
  test::FakePort* fake_ = nullptr;
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
  std::array<Packet, 8> burst_;
};

const FlowRule kDrop23{.name = "telnet", .match = {.protocol = FlowMatch::kTcp, .destination_ports = FlowPortRange{23, 23}}};

TEST_F(RuledPort_Receive, ClosesTheGapsThatDroppedFramesLeave) {
  RuledPort port = make({kDrop23});
  for (const char* to : {"198.18.0.2:23", "198.18.0.2:80", "198.18.0.2:23", "198.18.0.2:81"}) fake_->arrive(to_port(to));
  ASSERT_EQ(port.receive(0, burst_), 2u);
  EXPECT_EQ(frame_key(burst_[0].bytes())->flow.destination_port, 80);
  EXPECT_EQ(frame_key(burst_[1].bytes())->flow.destination_port, 81);
  EXPECT_FALSE(static_cast<bool>(burst_[2]));
  EXPECT_EQ(pool_.in_use(), 2u);
  EXPECT_EQ(port.counters().rx_filtered, 2u);
  const auto uses = port.rules();
  ASSERT_EQ(uses.size(), 1u);
  EXPECT_EQ(uses[0].where, Place::kSoftware);
  EXPECT_EQ(uses[0].hits, 2u);
  EXPECT_EQ(uses[0].dropped, 2u);
}

TEST_F(RuledPort_Receive, PolicesByItsClock) {
  RuledPort port = make({{.name = "slow", .match = {}, .action = FlowRule::Police{.packets_per_second = 1, .burst = 1}}});
  const auto passed = [&] {
    fake_->arrive(to_port("198.18.0.2:80"));
    return port.receive(0, burst_);
  };
  EXPECT_EQ(passed(), 1u);
  EXPECT_EQ(passed(), 0u);
  now_ = now_ + Duration::seconds(1);
  EXPECT_EQ(passed(), 1u);
}

TEST_F(RuledPort_Receive, LeavesToTheDeviceWhatADeviceUnderstands) {
  RuledPort port = make({kDrop23}, {{.name = "telnet", .where = Place::kDevice, .hits = 10}});
  fake_->arrive(to_port("198.18.0.2:23"));
  fake_->arrive(to_port("198.18.0.2:23", 0));  // a priority tag hides it from the device
  EXPECT_EQ(port.receive(0, burst_), 1u);
  EXPECT_EQ(port.rules()[0].hits, 11u);
  EXPECT_EQ(port.rules()[0].dropped, 11u);
  EXPECT_EQ(port.rules()[0].where, Place::kDevice);
}

TEST_F(RuledPort_Receive, LooksAtEverythingWhenOneRuleIsItsOwn) {
  const FlowRule steer{.name = "steer", .match = {}, .action = FlowRule::Steer{0}};
  FlowRule drop24 = kDrop23;
  drop24.match.destination_ports = FlowPortRange{24, 24};
  RuledPort port = make({steer, kDrop23, drop24},
                        {{.name = "steer"}, {.name = "telnet", .where = Place::kDevice}, {.name = "24", .reason = "refused"}});
  fake_->arrive(to_port("198.18.0.2:24"));
  EXPECT_EQ(port.receive(0, burst_), 0u);
  const auto uses = port.rules();
  EXPECT_EQ(uses[0].hits, std::nullopt) << "nobody counts what is steered in software";
  EXPECT_EQ(uses[1].hits, std::nullopt) << "the device does not count";
  EXPECT_EQ(uses[2].hits, 1u);
  EXPECT_EQ(uses[2].reason, "refused");
}

TEST_F(RuledPort_Receive, SteeringInSoftwareIsNoReasonToLookAtFrames) {
  const FlowRule steer{.name = "steer", .match = {}, .action = FlowRule::Steer{0}};
  RuledPort port = make({steer, kDrop23}, {{.name = "steer"}, {.name = "telnet", .where = Place::kDevice, .hits = 0}});
  fake_->arrive(to_port("198.18.0.2:23"));
  EXPECT_EQ(port.receive(0, burst_), 1u);
}

}  // namespace
}  // namespace millrace::nic
