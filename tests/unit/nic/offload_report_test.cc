#include "nic/offload_report.h"

#include <gtest/gtest.h>

#include <map>

namespace millrace::nic {
namespace {

std::map<std::string, OffloadUse> by_name(const PortInfo& info, const OfferedOffloads& offered, bool by_cpu) {
  std::map<std::string, OffloadUse> uses;
  for (const OffloadUse& use : offload_uses(info, offered, by_cpu)) uses[use.name] = use;
  return uses;
}

constexpr OfferedOffloads kEverything{
    .rx_ip_checksum = true,
    .rx_l4_checksum = true,
    .tx = {.ip_checksum = true, .tcp_checksum = true, .multi_segment = true, .tcp_segmentation = true},
    .rss = true};

TEST(OffloadReport, WhatIsUsedNeedsNoReason) {
  PortInfo info;
  info.rx_ip_checksum = info.rx_l4_checksum = true;
  info.tx = kEverything.tx;
  info.rss = RssTable::symmetric(1);
  const auto uses = by_name(info, kEverything, false);
  EXPECT_EQ(uses.size(), 7u);
  for (const auto& [name, use] : uses) {
    EXPECT_TRUE(use.offered && use.where == Place::kDevice && use.reason.empty()) << name;
  }
}

TEST(OffloadReport, WhatIsNotUsedHasOne) {
  PortInfo info;
  info.queues = 1;
  for (const auto& [name, use] : by_name(info, {}, false)) {
    EXPECT_TRUE(!use.offered && use.where == Place::kSoftware) << name;
    EXPECT_EQ(use.reason, "the driver does not offer it");
  }
  for (const auto& [name, use] : by_name(info, kEverything, true)) {
    EXPECT_TRUE(use.offered && use.where == Place::kSoftware) << name;
    EXPECT_EQ(use.reason.find("CPU") != std::string::npos, name != "rss") << use.reason;
  }
  EXPECT_EQ(by_name(info, kEverything, false)["rss"].reason, "one queue is in use");
  EXPECT_NE(by_name(info, kEverything, false)["tx_tcp_segmentation"].reason, "");
}

}  // namespace
}  // namespace millrace::nic
