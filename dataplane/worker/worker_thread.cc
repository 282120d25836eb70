#include "dataplane/worker/worker_thread.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <memory>

#include "dataplane/worker/instruction_counter.h"

namespace millrace::worker {
namespace {

// Envoy's watchdog defaults: source/server/configuration_impl.cc.
constexpr Duration kMiss = Duration::milliseconds(200);
constexpr Duration kMegaMiss = Duration::seconds(1);

// A worker that finds nothing spins for about as long as going to sleep and waking up would take: whatever comes next, that is at
// most twice what the better choice would have cost.
constexpr Duration kSpin = Duration::microseconds(20);
// Where every port has a descriptor, sleeping long is safe; this bounds how late a command or a new snapshot is seen.
constexpr Duration kLongestDescriptorSleep = Duration::milliseconds(50);
// Where a port has none, arrivals are only seen by looking: sleeps grow up to this.
constexpr Duration kLongestBlindSleep = Duration::microseconds(200);
constexpr Duration kShortestBlindSleep = Duration::microseconds(10);

constexpr Duration kWallClockInterval = Duration::seconds(1);
constexpr Duration kInstructionInterval = Duration::milliseconds(100);

std::int64_t read_clock(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

timespec to_timespec(Duration duration) {
  const std::int64_t nanoseconds = std::max<std::int64_t>(duration.to_nanoseconds(), 0);
  return {.tv_sec = nanoseconds / 1'000'000'000, .tv_nsec = nanoseconds % 1'000'000'000};
}

}  // namespace

Instant monotonic_now() { return Instant::from_nanoseconds(read_clock(CLOCK_MONOTONIC)); }
std::int64_t wall_clock_offset() { return read_clock(CLOCK_REALTIME) - read_clock(CLOCK_MONOTONIC); }

WorkerThread::WorkerThread(WorkerThreadConfig config, nic::PacketPool& packets, const config::SnapshotSlot& snapshots,
                           Control& control, report::WorkerReport& report)
    : config_(std::move(config)), packets_(packets), snapshots_(snapshots), control_(control), report_(report) {
  if (Exchange* exchange = config_.worker.team.exchange) {
    bell_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    exchange->set_waker(config_.worker.team.index, [bell = bell_] { static_cast<void>(eventfd_write(bell, 1)); });
  }
}

void WorkerThread::start() {
  thread_ = std::thread([this] { run(); });
}

WorkerThread::~WorkerThread() {
  stop();
  if (bell_ >= 0) close(bell_);
}

void WorkerThread::stop() {
  control_.wanted.store(Lifecycle::kStopped, std::memory_order_relaxed);
  if (thread_.joinable()) thread_.join();
}

void WorkerThread::run() {
  const std::string name = "mr-worker-" + std::to_string(config_.worker.team.index);
  pthread_setname_np(pthread_self(), name.c_str());
  if (config_.core >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(config_.core, &set);
    pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
  }
  if (config_.run_inside) {
    config_.run_inside([this] { serve(); });
  } else {
    serve();
  }
}

void WorkerThread::serve() {
  config_.worker.wall_offset_nanoseconds = wall_clock_offset();
  // On the heap of this thread, so that its memory comes from the core's own NUMA node.
  const auto worker = std::make_unique<Worker>(config_.worker, packets_, snapshots_, control_, report_, monotonic_now());
  worker->announce(monotonic_now());
  loop(*worker);
  worker->stop(monotonic_now());
}

void WorkerThread::loop(Worker& worker) {
  std::uint32_t naps = 0;  // since something was done
  Instant now = monotonic_now();
  Instant worked_at = now;
  Instant wall_clock_due = now + kWallClockInterval;
  const InstructionCounter instructions;
  Instant instructions_due = now;
  while (control_.wanted.load(std::memory_order_relaxed) != Lifecycle::kStopped) {
    const std::uint64_t start_cycles = __rdtsc();
    const bool busy = worker.turn(now);
    report_.turns.add();
    const Instant end = monotonic_now();
    if (busy) {
      naps = 0;
      worked_at = end;
      report_.busy_turns.add();
      report_.busy_cycles.add(__rdtsc() - start_cycles);
      report_.busy_turn_time.record(end - now);
    } else if (config_.idle == config::Dataplane::Idle::kAdaptive && end - worked_at > kSpin) {
      sleep(end, worker.next_due(), ++naps);
    }
    if (end - now > kMiss) report_.watchdog_miss.add();
    if (end - now > kMegaMiss) report_.watchdog_mega_miss.add();
    now = monotonic_now();
    if (now >= instructions_due) {
      if (const auto count = instructions.read()) report_.instructions.set(static_cast<std::int64_t>(*count));
      instructions_due = now + kInstructionInterval;
    }
    if (now >= wall_clock_due) {
      worker.set_wall_offset(wall_clock_offset());
      wall_clock_due = now + kWallClockInterval;
    }
  }
}

void WorkerThread::sleep(Instant now, Instant until, std::uint32_t naps) {
  Exchange* exchange = config_.worker.team.exchange;
  if (exchange != nullptr && !exchange->may_sleep(config_.worker.team.index)) return;
  std::array<pollfd, limits::kMaxPorts + 2> descriptors{};
  nfds_t count = 0;
  bool blind = false;
  for (const PortBinding& binding : config_.worker.ports) {
    if (!binding.receive_queue) continue;
    const int descriptor = binding.port->wait_descriptor(*binding.receive_queue);
    if (descriptor < 0) {
      blind = true;
    } else {
      descriptors[count++] = {.fd = descriptor, .events = POLLIN, .revents = 0};
    }
  }
  if (const host::Kernel* kernel = config_.worker.kernel; kernel != nullptr && kernel->descriptor() >= 0) {
    descriptors[count++] = {.fd = kernel->descriptor(), .events = POLLIN, .revents = 0};
  }
  if (bell_ >= 0) descriptors[count++] = {.fd = bell_, .events = POLLIN, .revents = 0};
  Duration most = kLongestDescriptorSleep;
  if (blind) {
    // Grows with the time that nothing has come: 10 us, 20 us, ... 200 us.
    most = std::min(kLongestBlindSleep, kShortestBlindSleep * static_cast<std::int64_t>(naps));
  }
  const timespec timeout = to_timespec(std::min(most, until - now));
  ppoll(descriptors.data(), count, &timeout, nullptr);
  if (exchange == nullptr) return;
  exchange->wake_up(config_.worker.team.index);
  eventfd_t rings = 0;
  static_cast<void>(eventfd_read(bell_, &rings));
}

}  // namespace millrace::worker
