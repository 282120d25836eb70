#include "nic/rules/flow_compiler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::nic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(MasksOf, OnePortAndAllPortsAreOnePair) {
  EXPECT_THAT(masks_of({80, 80}), ElementsAre(MaskedPort{80, 0xffff}));
  EXPECT_THAT(masks_of({}), ElementsAre(MaskedPort{0, 0}));
}

TEST(MasksOf, AreTheFewestForARange) {
  EXPECT_THAT(masks_of({1'024, 65'535}),
              ElementsAre(MaskedPort{0x0400, 0xfc00}, MaskedPort{0x0800, 0xf800}, MaskedPort{0x1000, 0xf000},
                          MaskedPort{0x2000, 0xe000}, MaskedPort{0x4000, 0xc000}, MaskedPort{0x8000, 0x8000}));
  EXPECT_EQ(masks_of({1, 65'534}).size(), 30u);
}

TEST(MasksOf, CoverExactlyTheRange) {
  for (const FlowPortRange range : {FlowPortRange{1, 65'534}, FlowPortRange{79, 81}, FlowPortRange{0, 6},
                                    FlowPortRange{65'535, 65'535}, FlowPortRange{8'000, 8'999}}) {
    const auto masks = masks_of(range);
    for (std::uint32_t port = 0; port <= 0xffff; ++port) {
      int covering = 0;
      for (const MaskedPort& masked : masks) covering += (port & masked.mask) == masked.value ? 1 : 0;
      ASSERT_EQ(covering, range.contains(static_cast<std::uint16_t>(port)) ? 1 : 0) << port;
    }
  }
}

TEST(CompileRule, OneEntryForEachFamilyThatItCovers) {
  const FlowRule rule{.name = "r", .match = {.protocol = FlowMatch::kIcmp}};
  const auto both = compile_rule(rule, 7);
  ASSERT_TRUE(both.has_value());
  EXPECT_THAT(*both, ElementsAre(DeviceRule{.vlan = 7, .v4 = true, .protocol = FlowMatch::kIcmp},
                                 DeviceRule{.vlan = 7, .v4 = false, .protocol = FlowMatch::kIcmpv6}));
  const FlowRule v6{.name = "r", .match = {.destination = IpPrefix::parse("2001:db8::/32")}};
  const auto one = compile_rule(v6, 0);
  ASSERT_EQ(one->size(), 1u);
  EXPECT_FALSE(one->front().v4);
  EXPECT_EQ(one->front().destination, v6.match.destination);
  EXPECT_EQ(one->front().queue, std::nullopt);
}

TEST(CompileRule, EachPartOfOneRangeMeetsEachOfTheOther) {
  const FlowRule rule{.name = "r",
                      .match = {.source = IpPrefix::parse("198.18.0.0/15"),
                                .protocol = FlowMatch::kTcp,
                                .source_ports = FlowPortRange{6, 8},
                                .destination_ports = FlowPortRange{443, 444}},
                      .action = FlowRule::Steer{3}};
  const auto entries = compile_rule(rule, 0);
  ASSERT_TRUE(entries.has_value());
  ASSERT_EQ(entries->size(), 4u);
  EXPECT_EQ(entries->at(0).source_port, (MaskedPort{6, 0xfffe}));
  EXPECT_EQ(entries->at(0).destination_port, (MaskedPort{443, 0xffff}));
  EXPECT_EQ(entries->at(3).source_port, (MaskedPort{8, 0xffff}));
  EXPECT_EQ(entries->at(3).destination_port, (MaskedPort{444, 0xffff}));
  for (const DeviceRule& entry : *entries) EXPECT_EQ(entry.queue, 3);
}

TEST(CompileRule, SaysWhyThereAreNoEntries) {
  FlowRule rule{.name = "r", .match = {}, .action = FlowRule::Police{}};
  EXPECT_THAT(compile_rule(rule, 0).error(), HasSubstr("no meter"));
  rule = {
      .name = "r",
      .match = {
          .protocol = FlowMatch::kTcp, .source_ports = FlowPortRange{1, 65'534}, .destination_ports = FlowPortRange{1, 65'534}}};
  EXPECT_THAT(compile_rule(rule, 0).error(), HasSubstr("1800 entries"));
}

}  // namespace
}  // namespace millrace::nic
