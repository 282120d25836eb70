// The worker's thread on the real clock: the watchdog counts turns that took too long, and an idle worker sleeps.
#include "dataplane/worker/worker_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "config/model/snapshot.h"
#include "nic/heap_pool.h"

namespace millrace::worker {
namespace {

/// A port with no frames, in which the next call of receive() takes as long as it is told to.
class SlowPort final : public nic::Port {
 public:
  [[nodiscard]] const nic::PortInfo& info() const override { return info_; }
  std::size_t receive(std::uint16_t, std::span<nic::Packet>) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(delay_milliseconds.exchange(0)));
    ++polls;
    return 0;
  }
  std::size_t transmit(std::uint16_t, std::span<nic::Packet> frames) override {
    for (nic::Packet& frame : frames) nic::Packet gone = std::move(frame);
    return frames.size();
  }
  [[nodiscard]] nic::PortCounters counters() const override { return {}; }
  [[nodiscard]] int wait_descriptor(std::uint16_t) const override { return -1; }

  std::atomic<int> delay_milliseconds = 0;
  std::atomic<std::uint64_t> polls = 0;

 private:
  nic::PortInfo info_{.name = "slow", .driver = "test", .mac = {{2, 0, 0, 0, 0, 1}}};
};

class WorkerThreadTest : public ::testing::Test {
 protected:
  WorkerThreadTest() {
    auto snapshot = std::make_shared<config::Snapshot>();
    snapshot->version = 1;
    slot_.publish(snapshot);
  }
  void start(config::Dataplane::Idle idle) {
    WorkerThreadConfig config;
    config.worker.ports = {{.port = &port_}};
    config.worker.interfaces = {{.mac = port_.info().mac, .mtu = 1500, .addresses = {{IpAddress::v4(198, 18, 0, 2), 24}}}};
    config.idle = idle;
    thread_ = std::make_unique<WorkerThread>(std::move(config), packets_, slot_, control_, report_);
    thread_->start();
  }
  /// Waits for the condition, ten seconds at most.
  template <typename Condition>
  [[nodiscard]] static bool eventually(Condition&& condition) {
    for (int i = 0; i < 1'000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return condition();
  }

  SlowPort port_;
  nic::HeapPool packets_{256};
  config::SnapshotSlot slot_;
  Control control_;
  report::WorkerReport report_{0, 1 << 16};
  std::unique_ptr<WorkerThread> thread_;
};

TEST_F(WorkerThreadTest, CountsTurnsOverTwoHundredMillisecondsAndOverASecond) {
  start(config::Dataplane::Idle::kAdaptive);
  ASSERT_TRUE(eventually([&] { return port_.polls > 100; }));
  const std::uint64_t before = report_.watchdog_miss.value();
  port_.delay_milliseconds = 300;
  ASSERT_TRUE(eventually([&] { return report_.watchdog_miss.value() > before; }));
  const std::uint64_t mega_before = report_.watchdog_mega_miss.value();
  port_.delay_milliseconds = 1'100;
  ASSERT_TRUE(eventually([&] { return report_.watchdog_mega_miss.value() > mega_before; }));
  EXPECT_GT(report_.watchdog_miss.value(), before + 1) << "a turn over a second is one over 200 ms, too";
}

TEST_F(WorkerThreadTest, ShowsWhenItsLastTurnBegan) {
  start(config::Dataplane::Idle::kAdaptive);
  ASSERT_TRUE(eventually([&] { return port_.polls > 100; }));
  port_.delay_milliseconds = 400;
  ASSERT_TRUE(eventually([&] { return monotonic_now().to_nanoseconds() - report_.last_turn_nanoseconds.value() > 200'000'000; }))
      << "a stalled worker can be told by it";
}

TEST_F(WorkerThreadTest, LooksFarLessOftenWhenAdaptiveAndIdle) {
  start(config::Dataplane::Idle::kAdaptive);
  ASSERT_TRUE(eventually([&] { return port_.polls > 1'000; }));
  const std::uint64_t before = port_.polls;
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_LT(port_.polls - before, 10'000u) << "about every 200 us";
}

}  // namespace
}  // namespace millrace::worker
