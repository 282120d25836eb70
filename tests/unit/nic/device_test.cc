// Real devices, without huge pages: TAP and AF_XDP in network namespaces that the tests make and delete, memif inside this
// process, and what opening says when it fails. Needs root; EAL starts once for the whole program.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "nic/eal.h"
#include "nic/ethdev_port.h"
#include "nic/mbuf_pool.h"
#include "nic/netns.h"

namespace millrace::nic {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

constexpr std::uint16_t kEtherType = 0x88b5;  // IEEE 802's local experimental type: nobody else sends it
constexpr std::size_t kFrameBytes = 100;
using namespace std::chrono_literals;

void run(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }

std::vector<std::uint8_t> frame(std::uint8_t mark) {
  std::vector<std::uint8_t> bytes(kFrameBytes, mark);
  std::fill_n(bytes.begin(), 6, std::uint8_t{0xff});
  const std::array<std::uint8_t, 8> rest{2, 0, 0, 0, 0, mark, kEtherType >> 8, kEtherType & 0xff};
  std::copy(rest.begin(), rest.end(), bytes.begin() + 6);
  return bytes;
}

/// A namespace of this test's own, gone with it.
class TestNamespace {
 public:
  TestNamespace() : name_("mrnic" + std::to_string(getpid())) { run("ip netns add " + name_); }
  ~TestNamespace() { EXPECT_EQ(std::system(("ip netns del " + name_).c_str()), 0); }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] unsigned interface_index(const char* interface) const {
    const auto space = NetworkNamespace::open(name_);
    const auto inside = space->enter();
    return if_nametoindex(interface);
  }

 private:
  std::string name_;
};

/// The kernel's side of a link: raw frames of our type on one interface of a namespace.
class KernelSide {
 public:
  KernelSide(const std::string& netns, const char* interface) {
    const auto space = NetworkNamespace::open(netns);
    const auto inside = space->enter();
    descriptor_ = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(kEtherType));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(kEtherType);
    address.sll_ifindex = static_cast<int>(if_nametoindex(interface));
    EXPECT_EQ(bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0) << interface;
  }
  ~KernelSide() { close(descriptor_); }
  void send(const std::vector<std::uint8_t>& bytes) const {
    EXPECT_EQ(write(descriptor_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size())) << std::strerror(errno);
  }
  /// The next frame that came from the other side; empty after a second without one.
  [[nodiscard]] std::vector<std::uint8_t> receive() const {
    pollfd waiting{.fd = descriptor_, .events = POLLIN, .revents = 0};
    while (poll(&waiting, 1, 1000) == 1) {
      std::vector<std::uint8_t> bytes(2048);
      sockaddr_ll from{};
      socklen_t size = sizeof(from);
      const ssize_t length = recvfrom(descriptor_, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (length < 0 || from.sll_pkttype == PACKET_OUTGOING) continue;
      bytes.resize(static_cast<std::size_t>(length));
      return bytes;
    }
    return {};
  }

 private:
  int descriptor_ = -1;
};

bool is_ours(const Packet& packet) {
  return packet.size() >= 14 && packet.data()[12] == (kEtherType >> 8) && packet.data()[13] == (kEtherType & 0xff);
}

/// The next frame of our type (the kernel sends others of its own accord); an empty packet after two seconds.
Packet receive_ours(Port& port, std::uint16_t queue = 0) {
  const auto deadline = std::chrono::steady_clock::now() + 2s;
  while (std::chrono::steady_clock::now() < deadline) {
    std::array<Packet, 8> burst;
    const std::size_t count = port.receive(queue, burst);
    for (std::size_t i = 0; i < count; ++i) {
      if (is_ours(burst[i])) return std::move(burst[i]);
    }
    if (count == 0) std::this_thread::sleep_for(1ms);
  }
  return {};
}

std::size_t files_under(const std::filesystem::path& directory) {
  std::error_code error;
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, error)) files += entry.is_directory() ? 0 : 1;
  return files;
}

class DeviceTest : public ::testing::Test {
 public:
  static void stop_eal() {
    delete std::exchange(eal_, nullptr);
    EXPECT_EQ(files(), files_before_) << "EAL left a file behind";
  }

 protected:
  static void SetUpTestSuite() {
    if (geteuid() != 0 || eal_ != nullptr) return;
    files_before_ = files();
    CPU_ZERO(&affinity_before_);
    sched_getaffinity(0, sizeof(affinity_before_), &affinity_before_);
    auto eal =
        Eal::start({.memory_mb = 192,
                    .huge_pages = std::getenv("MILLRACE_TEST_HUGE_PAGES") != nullptr ? HugePages::kIfFree : HugePages::kNever,
                    .log = [](EalLogLevel, std::string_view line) {
                      const std::lock_guard lock(log_mutex_);
                      log_ += std::string(line) + "\n";
                    }});
    ASSERT_TRUE(eal.has_value()) << eal.error() << "\n" << log_;
    eal_ = eal->release();
  }
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "opening devices needs root: run this test as root";
    ASSERT_NE(eal_, nullptr);
  }

  static std::size_t files() { return files_under("/var/run/dpdk") + files_under("/dev/hugepages"); }

  static std::unique_ptr<MbufPool> make_pool(const char* name, std::size_t buffers = 1024) {
    auto pool = MbufPool::create({.name = name, .buffers = buffers});
    EXPECT_TRUE(pool.has_value()) << pool.error();
    return std::move(*pool);
  }
  static Result<std::unique_ptr<EthdevPort>, std::string> open(DeviceConfig device, MbufPool& pool, const char* name = "t") {
    return EthdevPort::open({.name = name, .device = std::move(device)}, pool, 1, 5);
  }
  static std::string error_of(DeviceConfig device, MbufPool& pool) {
    const auto port = open(std::move(device), pool);
    return port ? "no error" : port.error();
  }
  static Packet packet(MbufPool& pool, std::uint8_t mark) {
    Packet made = pool.allocate();
    made.append(frame(mark));
    return made;
  }

  static inline Eal* eal_ = nullptr;  // for all suites of this program: EAL cannot start again
  static inline std::size_t files_before_ = 0;
  static inline cpu_set_t affinity_before_;
  static inline std::mutex log_mutex_;
  static inline std::string log_;
};

class StopEalAtTheEnd : public ::testing::Environment {
  void TearDown() override { DeviceTest::stop_eal(); }
};
[[maybe_unused]] const auto* const kEnvironment = ::testing::AddGlobalTestEnvironment(new StopEalAtTheEnd);

using Eal_Started = DeviceTest;
using MbufPool_Made = DeviceTest;
using TapPort = DeviceTest;
using AfXdpPort = DeviceTest;
using MemifPort = DeviceTest;
using EthdevPort_Open = DeviceTest;

TEST_F(Eal_Started, LeavesNoFileAndTheCallersAffinity) {
  EXPECT_EQ(files(), files_before_);
  cpu_set_t now;
  CPU_ZERO(&now);
  ASSERT_EQ(sched_getaffinity(0, sizeof(now), &now), 0);
  EXPECT_TRUE(CPU_EQUAL(&now, &affinity_before_));
}

TEST_F(Eal_Started, GivesItsLogToTheApp) {
  const std::lock_guard lock(log_mutex_);
  EXPECT_THAT(log_, HasSubstr("EAL: "));
}

TEST_F(Eal_Started, CannotStartTwice) {
  const auto second = Eal::start({});
  ASSERT_FALSE(second.has_value());
  EXPECT_THAT(second.error(), HasSubstr("once"));
}

TEST_F(Eal_Started, RegistersThreadsWhichThenUseAPool) {
  const auto pool = make_pool("reg");
  std::thread([&] {
    const auto registered = EalThread::register_current();
    ASSERT_TRUE(registered.has_value()) << registered.error();
    const Packet first = packet(*pool, 1);
    EXPECT_EQ(pool->in_use(), 1u);
  }).join();
  EXPECT_EQ(pool->in_use(), 0u);
}

TEST_F(MbufPool_Made, GivesPacketsOfTheUsualShapeUntilItIsExhausted) {
  const auto pool = make_pool("few", 31);
  std::vector<Packet> packets;
  for (Packet next = pool->allocate(); next; next = pool->allocate()) packets.push_back(std::move(next));
  EXPECT_EQ(packets.size(), pool->capacity());
  EXPECT_EQ(pool->exhausted(), 1u);
  EXPECT_EQ(pool->in_use(), 31u);
  EXPECT_EQ(packets[0].headroom(), limits::kPacketHeadroomBytes);
  EXPECT_EQ(packets[0].tailroom(), limits::kPacketBufferBytes - limits::kPacketHeadroomBytes);
  packets.clear();
  EXPECT_EQ(pool->in_use(), 0u);
}

TEST_F(MbufPool_Made, SlicesShareAnMbufUntilTheLastIsGone) {
  const auto pool = make_pool("slices");
  Slice first(packet(*pool, 1));
  const Slice second = first;
  first = Slice();
  EXPECT_EQ(pool->in_use(), 1u);
}

TEST_F(MbufPool_Made, SaysHowMuchMemoryIsMissing) {
  const auto pool = MbufPool::create({.name = "huge", .buffers = 1'000'000});
  ASSERT_FALSE(pool.has_value());
  EXPECT_THAT(pool.error(), AllOf(HasSubstr("\"huge\""), HasSubstr("MB"), HasSubstr("fewer buffers")));
}

TEST_F(TapPort, CarriesFramesBothWaysInItsNamespace) {
  const TestNamespace space;
  const auto pool = make_pool("tap");
  {
    const MacAddress mac{{2, 0, 0, 0, 0, 9}};
    auto opened = open(TapConfig{"mrt0", space.name(), mac}, *pool);
    ASSERT_TRUE(opened.has_value()) << opened.error() << log_;
    Port& port = **opened;
    EXPECT_EQ(port.info().driver, "net_tap");
    EXPECT_EQ(port.info().mac, mac);
    EXPECT_EQ(port.info().mtu, 1500);
    EXPECT_FALSE(port.info().tx.tcp_checksum) << "the driver would compute it in software";
    EXPECT_NE(space.interface_index("mrt0"), 0u);
    EXPECT_EQ(if_nametoindex("mrt0"), 0u) << "the interface is in our own namespace, too";

    const KernelSide kernel(space.name(), "mrt0");
    kernel.send(frame(1));
    Packet received = receive_ours(port);
    ASSERT_TRUE(static_cast<bool>(received));
    EXPECT_THAT(received.bytes(), ElementsAreArray(frame(1)));
    EXPECT_EQ(received.port(), 5);
    EXPECT_EQ(received.offload(), 0);
    EXPECT_GE(received.headroom(), limits::kPacketHeadroomBytes);

    // The received packet itself goes back, cut and with a new header: forwarding copies nothing.
    received.remove_prefix(14);
    const auto sent = frame(2);
    std::copy_n(sent.begin(), 14, received.prepend(14));
    std::fill(received.data() + 14, received.data() + received.size(), std::uint8_t{2});
    std::array<Packet, 2> burst{std::move(received), packet(*pool, 3)};
    ASSERT_EQ(port.transmit(0, burst), 2u);
    EXPECT_FALSE(static_cast<bool>(burst[0]));
    EXPECT_THAT(kernel.receive(), ElementsAreArray(frame(2)));
    EXPECT_THAT(kernel.receive(), ElementsAreArray(frame(3)));

    const PortCounters counters = port.counters();
    EXPECT_GE(counters.rx_packets, 1u);
    EXPECT_GE(counters.rx_bytes, kFrameBytes);
    EXPECT_EQ(counters.tx_packets, 2u);
    EXPECT_EQ(counters.tx_bytes, 2 * kFrameBytes);
    EXPECT_EQ(counters.tx_errors, 0u);
  }
  EXPECT_EQ(space.interface_index("mrt0"), 0u) << "the interface outlives the port";
  EXPECT_EQ(pool->in_use(), 0u);
}

TEST_F(TapPort, HasADescriptorThatIsReadableWhileFramesWait) {
  const TestNamespace space;
  const auto pool = make_pool("wait");
  auto port = open(TapConfig{"mrt0", space.name(), {}}, *pool);
  ASSERT_TRUE(port.has_value()) << port.error();
  const int descriptor = (*port)->wait_descriptor(0);
  ASSERT_GE(descriptor, 0);
  pollfd waiting{.fd = descriptor, .events = POLLIN, .revents = 0};
  std::array<Packet, 8> burst;
  for (int quiet = 0; quiet < 50 && poll(&waiting, 1, 20) != 0; ++quiet) {  // what the kernel sends when a link comes up
    while ((*port)->receive(0, burst) != 0) burst = {};
  }
  const KernelSide kernel(space.name(), "mrt0");
  for (int round = 0; round < 3; ++round) {
    kernel.send(frame(1));
    EXPECT_EQ(poll(&waiting, 1, 1000), 1) << "round " << round;
    EXPECT_TRUE(static_cast<bool>(receive_ours(**port)));
  }
}

TEST_F(TapPort, ChoosesAMacThatIsNotTheKernelEnds) {
  const TestNamespace space;
  const auto pool = make_pool("mac");
  auto port = open(TapConfig{"mrt0", space.name(), {}}, *pool);
  ASSERT_TRUE(port.has_value()) << port.error();
  const MacAddress mac = (*port)->info().mac;
  EXPECT_NE(mac, MacAddress());
  EXPECT_FALSE(mac.is_multicast());
  EXPECT_NE(std::system(("ip -n " + space.name() + " link show mrt0 | grep -q " + mac.to_string()).c_str()), 0);
}

TEST_F(TapPort, HasOneQueueOnWhichAllWorkersTransmit) {
  constexpr int kFrames = 500;  // of each
  const TestNamespace space;
  const auto pool = MbufPool::create({.name = "shared", .buffers = 4096, .shared = true});
  ASSERT_TRUE(pool.has_value()) << pool.error();
  auto port = EthdevPort::open({.name = "t", .device = TapConfig{"mrt0", space.name(), {}}, .mtu = 1400}, **pool, 2, 0);
  ASSERT_TRUE(port.has_value()) << port.error();
  EXPECT_EQ((*port)->info().queues, 1);
  EXPECT_FALSE((*port)->info().rss.has_value());
  EXPECT_EQ((*port)->info().mtu, 1400);
  EXPECT_EQ(std::system(("ip -n " + space.name() + " link show mrt0 | grep -q 'mtu 1400'").c_str()), 0);
  const auto send_all = [&](std::uint8_t mark) {
    for (int sent = 0; sent < kFrames;) {
      std::array<Packet, 1> burst{packet(**pool, mark)};
      for (int tries = 0; (*port)->transmit(0, burst) == 0 && tries < 1'000'000; ++tries) std::this_thread::yield();
      if (!burst[0]) ++sent;
    }
  };
  std::thread other([&] {
    const auto registered = EalThread::register_current();
    send_all(1);
  });
  send_all(2);
  other.join();
  EXPECT_EQ((*port)->counters().tx_packets, 2u * kFrames);
}

// DPDK's driver counts combined channels only, of which a veth has none: it takes one queue of it.
TEST_F(AfXdpPort, TakesNoMoreQueuesThanWorkersAndNamesThoseThatAreMissing) {
  const TestNamespace space;
  run("ip -n " + space.name() + " link add mrx0 numrxqueues 4 numtxqueues 4 type veth peer name mrx1");
  const auto pool = make_pool("xdpq", 16384);
  const PortConfig config{.name = "t", .device = AfXdpConfig{"mrx0", space.name(), 0, 2}};
  {
    const auto port = EthdevPort::open(config, *pool, 1, 0);
    ASSERT_TRUE(port.has_value()) << port.error() << log_;
    EXPECT_EQ((*port)->info().queues, 1);
  }
  const auto port = EthdevPort::open(config, *pool, 2, 0);
  ASSERT_FALSE(port.has_value());
  EXPECT_THAT(port.error(), AllOf(HasSubstr("queue_count=2"), HasSubstr("the queues that are asked for")));
}

TEST_F(AfXdpPort, CarriesFramesBothWaysOnAVethInANamespace) {
  const TestNamespace space;
  run("ip -n " + space.name() + " link add mrx0 type veth peer name mrx1");
  run("ip -n " + space.name() + " link set mrx1 up");
  const auto pool = make_pool("xdp", 8192);
  {
    auto opened = open(AfXdpConfig{"mrx0", space.name(), 0}, *pool);
    ASSERT_TRUE(opened.has_value()) << opened.error() << log_;
    Port& port = **opened;
    EXPECT_EQ(port.info().driver, "net_af_xdp");
    EXPECT_EQ(port.wait_descriptor(0), -1);
    const KernelSide kernel(space.name(), "mrx1");
    kernel.send(frame(1));
    Packet received = receive_ours(port);
    ASSERT_TRUE(static_cast<bool>(received)) << log_;
    EXPECT_THAT(received.bytes(), ElementsAreArray(frame(1)));
    std::array<Packet, 2> burst{packet(*pool, 2), std::move(received)};
    ASSERT_EQ(port.transmit(0, burst), 2u);
    EXPECT_THAT(kernel.receive(), ElementsAreArray(frame(2)));
    EXPECT_THAT(kernel.receive(), ElementsAreArray(frame(1)));
    EXPECT_GE(port.counters().rx_packets, 1u);
    EXPECT_EQ(port.counters().tx_packets, 2u);
  }
  EXPECT_NE(std::system(("ip -n " + space.name() + " link show mrx0 | grep -q xdp").c_str()), 0)
      << "the XDP program outlives the port";
}

TEST_F(MemifPort, CarriesFramesBetweenServerAndClientAndRefusesBeforeTheyMeet) {
  // The driver keys its sockets by path and refuses to talk to itself over one: the client spells the same path otherwise.
  const std::string name = "mrnic" + std::to_string(getpid()) + ".sock";
  const std::string socket = ::testing::TempDir() + name;
  const std::string same_socket = ::testing::TempDir() + "./" + name;
  const auto server_pool = make_pool("ms", 4096);
  const auto client_pool = make_pool("mc", 4096);
  auto server = open(MemifConfig{socket, 3, MemifConfig::Role::kServer}, *server_pool, "ms");
  ASSERT_TRUE(server.has_value()) << server.error() << log_;
  EXPECT_EQ((*server)->wait_descriptor(0), -1);

  std::array<Packet, 1> burst{packet(*server_pool, 1)};
  EXPECT_EQ((*server)->transmit(0, burst), 0u);
  ASSERT_TRUE(static_cast<bool>(burst[0])) << "a frame that was not taken stays the caller's";
  EXPECT_THAT(burst[0].bytes(), ElementsAreArray(frame(1)));

  auto client = open(MemifConfig{same_socket, 3, MemifConfig::Role::kClient}, *client_pool, "mc");
  ASSERT_TRUE(client.has_value()) << client.error() << log_;
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  Packet received;
  while (!received && std::chrono::steady_clock::now() < deadline) {
    if (burst[0]) (*server)->transmit(0, burst);
    std::array<Packet, 1> arrived;  // the server can send once the client has polled: the client's buffers carry both directions
    if ((*client)->receive(0, arrived) == 1) received = std::move(arrived[0]);
    std::this_thread::sleep_for(1ms);
  }
  ASSERT_TRUE(static_cast<bool>(received));
  EXPECT_THAT(received.bytes(), ElementsAreArray(frame(1)));
  burst[0] = std::move(received);
  ASSERT_EQ((*client)->transmit(0, burst), 1u);
  EXPECT_THAT(receive_ours(**server).bytes(), ElementsAreArray(frame(1)));
  client->reset();
  server->reset();
  EXPECT_FALSE(std::filesystem::exists(socket));
  EXPECT_EQ(server_pool->in_use(), 0u);
  EXPECT_EQ(client_pool->in_use(), 0u);
}

TEST_F(EthdevPort_Open, NamesWhatIsMissingAndWhatToDo) {
  const TestNamespace space;
  const auto pool = make_pool("err", 8192);
  EXPECT_THAT(
      error_of(TapConfig{"mrt0", "mr-no-such-ns", {}}, *pool),
      AllOf(HasSubstr("port \"t\""), HasSubstr("\"mr-no-such-ns\" does not exist"), HasSubstr("ip netns add mr-no-such-ns")));
  EXPECT_THAT(error_of(TapConfig{"lo", space.name(), {}}, *pool),
              AllOf(HasSubstr("\"lo\" exists already"), HasSubstr("ip link del lo")));
  EXPECT_THAT(error_of(AfXdpConfig{"mrnone", space.name(), 0}, *pool),
              AllOf(HasSubstr("no interface \"mrnone\""), HasSubstr(space.name())));
  EXPECT_THAT(error_of(PciConfig{"ffff:ff:1f.7"}, *pool), HasSubstr("no PCI device ffff:ff:1f.7"));
  EXPECT_THAT(error_of(MemifConfig{"/no/such/directory/m.sock", 0, MemifConfig::Role::kServer}, *pool),
              HasSubstr("/no/such/directory"));
  EXPECT_THAT(error_of(VdevConfig{"net_nosuchdriver0"}, *pool), HasSubstr("net_nosuchdriver0"));
}

// No device of this machine takes rules: each is left to software, and the driver's reason is kept.
TEST_F(EthdevPort_Open, LeavesRulesToSoftwareThatADeviceRefuses) {
  const TestNamespace space;
  const auto pool = make_pool("rules", 4096);
  const FlowRule drop{
      .name = "telnet",
      .match = {
          .source = IpPrefix::parse("198.18.0.0/16"), .protocol = FlowMatch::kTcp, .destination_ports = FlowPortRange{23, 23}}};
  const FlowRule police{.name = "slow", .match = {}, .action = FlowRule::Police{}};
  const std::string socket = std::filesystem::temp_directory_path() / ("mrrules" + std::to_string(getpid()));
  for (const DeviceConfig& device : {DeviceConfig(TapConfig{"mrt0", space.name(), {}}), DeviceConfig(VdevConfig{"net_null7"}),
                                     DeviceConfig(MemifConfig{socket, 1, MemifConfig::Role::kServer})}) {
    const auto port = EthdevPort::open({.name = "t", .device = device, .rules = {drop, police}}, *pool, 1, 0);
    ASSERT_TRUE(port.has_value()) << port.error();
    const auto uses = (*port)->rules();
    ASSERT_EQ(uses.size(), 2u);
    EXPECT_EQ(uses[0].where, Place::kSoftware) << (*port)->info().driver;
    EXPECT_NE(uses[0].reason, "") << (*port)->info().driver;
    EXPECT_EQ(uses[0].hits, std::nullopt);
    EXPECT_THAT(uses[1].reason, HasSubstr("meter"));
    EXPECT_EQ((*port)->info().offloads.size(), 7u);
    RecordProperty((*port)->info().driver, uses[0].reason);
  }
}

TEST_F(EthdevPort_Open, NamesAPoolThatIsTooSmall) {
  const auto pool = make_pool("small", 1024);
  EXPECT_THAT(error_of(AfXdpConfig{"lo", "", 0}, *pool), AllOf(HasSubstr("4096 free buffers"), HasSubstr("has 1024")));
}

TEST_F(EthdevPort_Open, NamesAnMtuThatFitsNoBuffer) {
  const auto pool = make_pool("mtu");
  const auto port = EthdevPort::open({.name = "t", .device = TapConfig{"mrt0", "", {}}, .mtu = 9000}, *pool, 1, 0);
  ASSERT_FALSE(port.has_value());
  EXPECT_THAT(port.error(), AllOf(HasSubstr("mtu 9000"), HasSubstr("at most 2030")));
}

TEST_F(EthdevPort_Open, LeavesNothingBehindWhenItFailsHalfWay) {
  const TestNamespace space;
  const auto pool = make_pool("half");
  const auto port = EthdevPort::open({.name = "t", .device = TapConfig{"mrt0", space.name(), {}}, .mtu = 60}, *pool, 1, 0);
  ASSERT_FALSE(port.has_value());
  EXPECT_THAT(port.error(), AllOf(HasSubstr("mtu 60"), HasSubstr("refused")));
  EXPECT_EQ(space.interface_index("mrt0"), 0u);
  EXPECT_EQ(pool->in_use(), 0u);
}

}  // namespace
}  // namespace millrace::nic

#if defined(__SANITIZE_ADDRESS__)
/// libxdp keeps 80 bytes of each umem that the driver has closed.
extern "C" const char* __lsan_default_suppressions();  // NOLINT
extern "C" const char* __lsan_default_suppressions() { return "leak:xsk_umem__create\n"; }
#endif
