#include "nic/devargs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace millrace::nic {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

PortConfig port(DeviceConfig device) { return {.name = "edge", .device = std::move(device)}; }

std::string error_of(const PortConfig& config) {
  const auto devargs = devargs_of(config, 1);
  return devargs ? "no error: " + devargs->text : devargs.error();
}

TEST(Devargs_Tap, NamesTheKernelsInterfaceAndTheNamespace) {
  const auto devargs = devargs_of(port(TapConfig{"mr0", "mrtest", {}}), 1);
  ASSERT_TRUE(devargs.has_value());
  EXPECT_EQ(devargs->device, "net_tap_edge");
  EXPECT_EQ(devargs->text, "net_tap_edge,iface=mr0");
  EXPECT_EQ(devargs->netns, "mrtest");
}

TEST(Devargs_Tap, NeverGivesTheGatewaysMacToTheKernelsEnd) {
  const auto devargs = devargs_of(port(TapConfig{"mr0", "", MacAddress{{2, 0, 0, 0, 0, 1}}}), 1);
  ASSERT_TRUE(devargs.has_value());
  EXPECT_EQ(devargs->text, "net_tap_edge,iface=mr0");
}

TEST(Devargs_Tap, RefusesWhatTheKernelWouldNotTakeOrDpdkWouldMisread) {
  EXPECT_THAT(error_of(port(TapConfig{"", "", {}})), AllOf(HasSubstr("\"edge\""), HasSubstr("missing")));
  EXPECT_THAT(error_of(port(TapConfig{"sixteen-bytes-xx", "", {}})), AllOf(HasSubstr("16 bytes"), HasSubstr("at most 15")));
  EXPECT_TRUE(devargs_of(port(TapConfig{"fifteen-bytes-x", "", {}}), 1).has_value());
  for (const char* name : {"a/b", "a,mac=b", "a=b", "a b", "..", "a%d"}) {
    EXPECT_THAT(error_of(port(TapConfig{name, "", {}})), HasSubstr("character")) << name;
  }
  EXPECT_THAT(error_of(port(TapConfig{"mr0", "../mnt", {}})), HasSubstr("ip netns add"));
  EXPECT_THAT(error_of(port(TapConfig{"mr0", "", MacAddress::broadcast()})), HasSubstr("multicast"));
}

TEST(Devargs_AfXdp, AsksForOneQueuePerWorkerFromItsStartQueueOn) {
  const auto devargs = devargs_of(port(AfXdpConfig{"eth1", "", 2}), 3);
  ASSERT_TRUE(devargs.has_value());
  EXPECT_EQ(devargs->text, "net_af_xdp_edge,iface=eth1,start_queue=2,queue_count=3");
}

TEST(Devargs_Pci, IsTheFullAddress) {
  const auto devargs = devargs_of(port(PciConfig{"0000:3b:00.0"}), 1);
  ASSERT_TRUE(devargs.has_value());
  EXPECT_EQ(devargs->text, "0000:3b:00.0");
  for (const char* address : {"", "3b:00.0", "0000:3b:00", "0000:3b:00.0,x=y", "0000-3b-00-0"}) {
    EXPECT_THAT(error_of(port(PciConfig{address})), HasSubstr("0000:3b:00.0")) << address;
  }
}

TEST(Devargs_Memif, NamesRoleIdAndAFileSocket) {
  const auto devargs = devargs_of(port(MemifConfig{"/run/mr.sock", 7, MemifConfig::Role::kClient}), 1);
  ASSERT_TRUE(devargs.has_value());
  EXPECT_EQ(devargs->text, "net_memif_edge,role=client,id=7,socket=/run/mr.sock,socket-abstract=no");
}

TEST(Devargs, MemifsRingHoldsAWholeFrameInEachBuffer) {
  PortConfig config = port(MemifConfig{"/run/mr.sock", 7, MemifConfig::Role::kClient});
  config.mtu = 2'030;
  EXPECT_FALSE(devargs_of(config, 1)->text.contains("bsize"));
  config.mtu = 9'000;
  EXPECT_TRUE(devargs_of(config, 1)->text.ends_with(",bsize=9216"));
}

TEST(Devargs_Memif, RefusesPathsThatCannotBeASocket) {
  EXPECT_THAT(error_of(port(MemifConfig{"mr.sock", 0, {}})), HasSubstr("absolute"));
  EXPECT_THAT(error_of(port(MemifConfig{"/" + std::string(107, 'x'), 0, {}})), HasSubstr("at most 107"));
  EXPECT_THAT(error_of(port(MemifConfig{"/run/a,b", 0, {}})), HasSubstr("comma"));
}

TEST(Devargs_Vdev, PassesDpdksOwnWords) {
  const auto devargs = devargs_of(port(VdevConfig{"net_null0,size=64"}), 1);
  ASSERT_TRUE(devargs.has_value());
  EXPECT_EQ(devargs->device, "net_null0");
  EXPECT_EQ(devargs->text, "net_null0,size=64");
  EXPECT_THAT(error_of(port(VdevConfig{""})), HasSubstr("missing"));
}

TEST(Devargs_PortName, IsRefusedWhereItWouldBreakTheDevicesName) {
  for (const char* name : {"", "a,b", "a b", "123456789012345678901234567890123"}) {
    PortConfig config = port(VdevConfig{"net_null0"});
    config.name = name;
    EXPECT_THAT(error_of(config), HasSubstr("letters, digits")) << name;
  }
}

TEST(NumaNodeOf, ReadsSysfsAndIsUnknownWithout) {
  const std::filesystem::path root = std::filesystem::path(::testing::TempDir()) / "millrace-numa-test";
  std::filesystem::create_directories(root / "bus/pci/devices/0000:3b:00.0");
  std::ofstream(root / "bus/pci/devices/0000:3b:00.0/numa_node") << "1\n";
  EXPECT_EQ(numa_node_of(port(PciConfig{"0000:3b:00.0"}), root.string()), 1);
  EXPECT_EQ(numa_node_of(port(PciConfig{"0000:3c:00.0"}), root.string()), -1);
  EXPECT_EQ(numa_node_of(port(TapConfig{"mr0", "", {}}), root.string()), -1);
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace millrace::nic
