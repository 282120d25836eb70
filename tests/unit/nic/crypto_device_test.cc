// Records by way of a crypto device: crypto_aesni_mb, which computes on this CPU, does what a device does. EAL starts once for
// the whole program.
#include "nic/crypto_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <rte_cryptodev.h>

#include "nic/crypto_engine.h"
#include "nic/crypto_queue.h"
#include "nic/eal.h"
#include "nic/mbuf_pool.h"
#include "tests/support/tls_harness.h"
#include "tests/unit/dataplane/stream/byte_stream_contract.h"
#include "tests/unit/tls/record_engine_suite.h"

namespace millrace::nic {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using tls::Aead;
using tls::Direction;
using tls::RecordJob;
using tls::test::collect_one;
using tls::test::EngineMaker;
using tls::test::numbers;

constexpr const char* kDriver = "crypto_aesni_mb";
constexpr std::size_t kConnections = 64;
constexpr std::array kAnyNode = {-1};

/// What lives as long as the program.
class Machine : public ::testing::Environment {
 public:
  void SetUp() override {
    auto started =
        Eal::start({.memory_mb = 192, .huge_pages = HugePages::kNever, .log = [this](EalLogLevel, std::string_view line) {
                      const std::lock_guard lock(mutex_);
                      log_ += std::string(line) + "\n";
                    }});
    ASSERT_TRUE(started.has_value()) << started.error() << "\n" << log_;
    eal_ = std::move(*started);
    auto opened = CryptoDevice::open({.name = kDriver, .connections = kConnections}, kAnyNode);
    ASSERT_TRUE(opened.has_value()) << opened.error() << "\n" << log_;
    device_ = std::move(*opened);
  }
  void TearDown() override {
    device_.reset();
    eal_.reset();
  }
  CryptoDevice& device() { return *device_; }

 private:
  std::unique_ptr<Eal> eal_;
  std::unique_ptr<CryptoDevice> device_;
  std::mutex mutex_;
  std::string log_;
};
Machine* const machine = static_cast<Machine*>(::testing::AddGlobalTestEnvironment(new Machine));

std::unique_ptr<tls::RecordEngine> make_engine() { return machine->device().make_engine(0, tls::make_ipsec_mb_engine()); }

/// An engine over a device that wants its texts in another way than this one does: by a queue of its own over the same queue
/// pair.
class EngineOfLayout final : public tls::RecordEngine {
 public:
  explicit EngineOfLayout(const CryptoQueue::Layout& layout) {
    const auto device = static_cast<std::uint8_t>(rte_cryptodev_get_dev_id(kDriver));
    queue_ = std::move(*CryptoQueue::create("test", device, 0, layout, 2 * kConnections, -1));
    queue_->offers.fill(true);
    engine_ = make_crypto_engine(*queue_, tls::make_ipsec_mb_engine());
  }

  std::string_view name() const override { return engine_->name(); }
  bool supports(Aead aead) const override { return engine_->supports(aead); }
  std::unique_ptr<tls::RecordKey> make_key(Aead aead, Direction direction, std::span<const std::uint8_t> key,
                                           std::size_t additional_bytes) override {
    return engine_->make_key(aead, direction, key, additional_bytes);
  }
  bool submit(RecordJob& job) override { return engine_->submit(job); }
  RecordJob* collect() override { return engine_->collect(); }
  const CryptoTally& tally() const { return queue_->tally; }

 private:
  std::unique_ptr<CryptoQueue> queue_;
  std::unique_ptr<tls::RecordEngine> engine_;
};

EngineMaker of_layout(const std::string& variant, const CryptoQueue::Layout& layout) {
  return {"cryptodev", [layout] { return std::make_unique<EngineOfLayout>(layout); }, variant};
}

struct Job : RecordJob {
  explicit Job(tls::RecordKey& with, std::span<const std::span<std::uint8_t>> parts = {}) {
    key = &with;
    additional_size = 5;
    text = parts;
  }
};

std::string error_of(const CryptoDeviceConfig& config, std::span<const int> nodes = kAnyNode) {
  const auto device = CryptoDevice::open(config, nodes);
  return device ? "no error" : device.error();
}

}  // namespace
}  // namespace millrace::nic

namespace millrace::tls::test {

INSTANTIATE_TEST_SUITE_P(
    CryptoDevice, TlsRecordEngine,
    testing::Combine(testing::Values(EngineMaker{"cryptodev", nic::make_engine}, nic::of_layout("copied", {.in_place = false}),
                                     nic::of_layout("whole", {.in_parts = false}),
                                     nic::of_layout("mapped", {.any_memory = false}),
                                     nic::of_layout("roomy", {.in_place = false, .headroom = 200, .tailroom = 64})),
                     testing::ValuesIn(kAeads)),
    case_name);

}  // namespace millrace::tls::test

namespace millrace::test {

using Tls13 = TlsHarness<tls::Version::kTls13, false, nic::make_engine>;
using Tls12 = TlsHarness<tls::Version::kTls12, false, nic::make_engine>;
INSTANTIATE_TYPED_TEST_SUITE_P(CryptoDeviceTls13, ByteStreamContract, Tls13);
INSTANTIATE_TYPED_TEST_SUITE_P(CryptoDeviceTls12, ByteStreamContract, Tls12);

}  // namespace millrace::test

namespace millrace::nic {
namespace {

TEST(CryptoDevice_Open, TellsWhatItIs) {
  const CryptoDeviceInfo& info = machine->device().info();
  EXPECT_EQ(info.name, kDriver);
  EXPECT_EQ(info.driver, kDriver);
  EXPECT_EQ(info.queue_pairs, 1);
  EXPECT_TRUE(info.on_cpu && info.in_place);
  ASSERT_EQ(info.aeads.size(), tls::kAeads.size());
  for (const OffloadUse& use : info.aeads) EXPECT_EQ(use.where, Place::kDevice) << use.name;
}

TEST(CryptoDevice_Open, NamesWhatThereIsWhenThereIsNoSuchDevice) {
  EXPECT_THAT(error_of({.name = "crypto_nonsense"}),
              AllOf(HasSubstr("crypto device \"crypto_nonsense\": there is no such device"), HasSubstr("there: crypto_aesni_mb."),
                    HasSubstr("crypto_qat")));
  EXPECT_THAT(error_of({.name = "0000:3d:01.0_qat_sym"}), AllOf(HasSubstr("vfio-pci"), HasSubstr("there: crypto_aesni_mb.")));
  EXPECT_THAT(error_of({.name = "net_null0"}), HasSubstr("would begin with \"crypto_\""));
  EXPECT_THAT(error_of({.name = "crypto_aesni_mb7", .args = "no_such=1"}), HasSubstr("\"crypto_aesni_mb7,no_such=1\""));
}

TEST(CryptoDevice_Open, RefusesWhatCannotWork) {
  EXPECT_THAT(error_of({.name = kDriver, .args = "max_nb_queue_pairs=2"}), HasSubstr("it is there already"));
  EXPECT_THAT(error_of({.name = "crypto_null"}), HasSubstr("offers no cipher of TLS"));
  const std::array two = {-1, -1};
  EXPECT_THAT(error_of({.name = "crypto_aesni_mb2", .args = "max_nb_queue_pairs=1"}, two),
              AllOf(HasSubstr("1 queue pairs for 2 workers"), HasSubstr("max_nb_queue_pairs=2")));
  EXPECT_THAT(error_of({.name = "crypto_aesni_mb2", .connections = 10'000'000}), HasSubstr("`connections` less"));
}

TEST(CryptoDevice_Open, LeavesNothingBehindWhenItGoes) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(error_of({.name = "crypto_aesni_mb3", .connections = kConnections}), "no error");
    EXPECT_EQ(rte_cryptodev_get_dev_id("crypto_aesni_mb3"), -1);
  }
}

TEST(CryptoDevice_Open, FindsThePciAddressInAName) {
  EXPECT_EQ(pci_address_of("0000:3d:01.0_qat_sym"), "0000:3d:01.0");
  EXPECT_EQ(pci_address_of("crypto_aesni_mb"), "");
}

TEST(CryptoEngine_Full, TakesAgainWhatWasCollected) {
  const auto engine = make_engine();
  const auto key = engine->make_key(Aead::kAes128Gcm, Direction::kSeal, numbers(16), 5);
  std::vector<std::unique_ptr<Job>> jobs;
  while (jobs.size() <= CryptoQueue::kMostJobs) jobs.push_back(std::make_unique<Job>(*key));
  for (std::size_t i = 0; i < CryptoQueue::kMostJobs; ++i) ASSERT_TRUE(engine->submit(*jobs[i])) << i;
  EXPECT_FALSE(engine->submit(*jobs.back()));
  EXPECT_EQ(collect_one(*engine), jobs.front().get());
  EXPECT_TRUE(engine->submit(*jobs.back()));
  for (std::size_t i = 1; i < jobs.size(); ++i) EXPECT_EQ(collect_one(*engine), jobs[i].get()) << i;
}

TEST(CryptoEngine_NoRoomForKeys, UsesSoftwareAndCountsIt) {
  const auto engine = make_engine();
  const CryptoCounters before = machine->device().counters();
  std::vector<std::unique_ptr<tls::RecordKey>> keys;
  for (std::size_t i = 0; i < 2 * kConnections + 2; ++i) {
    keys.push_back(engine->make_key(Aead::kAes256Gcm, i % 2 == 0 ? Direction::kSeal : Direction::kOpen, numbers(32), 5));
    ASSERT_NE(keys.back(), nullptr);
  }
  EXPECT_EQ(machine->device().counters().keys, 2 * kConnections);
  EXPECT_EQ(machine->device().counters().software_keys, before.software_keys + 2);

  // What the device seals, software opens; both kinds of jobs are under way together.
  std::vector<std::uint8_t> text = numbers(3'000);
  std::array parts = {std::span(text).first(1'000), std::span(text).subspan(1'000)};
  Job sealed(*keys.front(), parts);
  ASSERT_TRUE(engine->submit(sealed));
  ASSERT_EQ(collect_one(*engine), &sealed);
  Job opened(*keys.back(), parts);
  opened.tag = sealed.tag;
  Job empty(*keys.front());
  ASSERT_TRUE(engine->submit(empty) && engine->submit(opened));
  EXPECT_EQ(collect_one(*engine), &opened);
  EXPECT_EQ(opened.key, keys.back().get());
  EXPECT_TRUE(opened.good);
  EXPECT_EQ(text, numbers(3'000));
  EXPECT_EQ(collect_one(*engine), &empty);
  EXPECT_EQ(machine->device().counters().records, before.records + 2);

  keys.clear();
  EXPECT_EQ(machine->device().counters().keys, 0u);
}

TEST(CryptoEngine_WithoutASuite, UsesSoftwareForIt) {
  auto device = CryptoDevice::open({.name = "crypto_aesni_gcm", .connections = kConnections}, kAnyNode);
  ASSERT_TRUE(device.has_value()) << device.error();
  const OffloadUse& chacha = (*device)->info().aeads[static_cast<std::size_t>(Aead::kChaCha20Poly1305)];
  EXPECT_EQ(chacha.where, Place::kSoftware);
  EXPECT_EQ(chacha.reason, "the driver does not offer it");
  const auto engine = (*device)->make_engine(0, tls::make_ipsec_mb_engine());
  for (const Aead aead : tls::kAeads) {
    EXPECT_TRUE(engine->supports(aead));
    const auto sealed = tls::test::run(*engine, aead, Direction::kSeal, numbers(5'000), 1'448);
    EXPECT_TRUE(tls::test::run(*engine, aead, Direction::kOpen, sealed.text, 900, sealed.tag).good) << tls::to_text(aead);
  }
  EXPECT_EQ((*device)->counters().records, 4u);
  EXPECT_EQ((*device)->counters().software_keys, 2u);
  EXPECT_EQ((*device)->counters().failed, 0u);
}

void look_for_key(rte_mempool*, void* found, rte_mempool_memhdr* memory, unsigned) {
  const std::vector<std::uint8_t> key = numbers(32);
  const auto* const start = static_cast<const std::uint8_t*>(memory->addr);
  if (std::search(start, start + memory->len, key.begin(), key.end()) != start + memory->len) *static_cast<bool*>(found) = true;
}

bool key_is_in_memory() {
  const std::string pool = "crypto" + std::to_string(rte_cryptodev_get_dev_id(kDriver)) + "-0-keys";
  bool found = false;
  rte_mempool_mem_iter(rte_mempool_lookup(pool.c_str()), look_for_key, &found);
  return found;
}

TEST(CryptoEngine_Keys, AreWipedWhenTheyGo) {
  const auto engine = make_engine();
  auto key = engine->make_key(Aead::kChaCha20Poly1305, Direction::kSeal, numbers(32), 5);
  EXPECT_TRUE(key_is_in_memory()) << "else this test would see nothing";
  key.reset();
  EXPECT_FALSE(key_is_in_memory());
}

TEST(CryptoEngine_Memory, OfPacketsIsReachedInPlace) {
  auto pool = MbufPool::create({.name = "crypto-test", .buffers = 64});
  ASSERT_TRUE(pool.has_value()) << pool.error();
  std::array<Packet, CryptoQueue::kMostParts + 1> packets;
  std::vector<std::span<std::uint8_t>> parts;
  for (Packet& packet : packets) {
    packet = (*pool)->allocate();
    packet.append(numbers(500));
    parts.push_back(packet.bytes());
  }
  EngineOfLayout engine({.any_memory = false});
  const auto key = engine.make_key(Aead::kAes128Gcm, Direction::kSeal, numbers(16), 5);
  Job most(*key, std::span(parts).first(CryptoQueue::kMostParts));
  ASSERT_TRUE(engine.submit(most));
  ASSERT_EQ(collect_one(engine), &most);
  EXPECT_TRUE(most.good);
  EXPECT_EQ(engine.tally().copied, 0u);
  Job more(*key, parts);
  ASSERT_TRUE(engine.submit(more));
  ASSERT_EQ(collect_one(engine), &more);
  EXPECT_EQ(engine.tally().copied, 1u);
}

}  // namespace
}  // namespace millrace::nic
