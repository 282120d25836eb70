// Starts DPDK's environment (EAL) inside this process, once, and leaves no file behind: `--in-memory` where enough huge pages
// are free, else `--no-huge --no-shconf --no-telemetry` (EAL refuses --no-huge together with --in-memory).
// It does not choose cores (nic/placement.h) and opens no port (nic/ethdev_port.h).
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

namespace millrace::nic {

enum class EalLogLevel { kError, kWarning, kInfo, kDebug };

/// Called with each line of EAL's and the drivers' log, from any of DPDK's threads: it must be safe for that.
using EalLog = std::function<void(EalLogLevel, std::string_view)>;

enum class HugePages { kIfFree, kNever };

struct EalOptions {
  std::size_t memory_mb = 256;  ///< for all pools, rings and devices together
  HugePages huge_pages = HugePages::kIfFree;
  /// CPU for the agent's and EAL's own threads (interrupts, alarms); -1: the first one that this thread may run on.
  int control_cpu = -1;
  /// PCI devices that will be opened ("0000:3b:00.0"); no other PCI device is touched.
  std::vector<std::string> pci_addresses{};
  EalLogLevel log_level = EalLogLevel::kInfo;
  EalLog log{};  ///< empty: dropped
};

/// EAL, for the life of this object. EAL can be started once in a process: after a failed start, or after destruction, a
/// second start() is an error. Outlives every pool, port and EalThread.
class Eal {
 public:
  /// The calling thread becomes EAL's main thread and keeps the CPU affinity it had. The error says what to do.
  [[nodiscard]] static Result<std::unique_ptr<Eal>, std::string> start(EalOptions options);
  ~Eal();
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;

  /// Whether memory comes from huge pages.
  [[nodiscard]] bool huge_pages() const { return huge_pages_; }

 private:
  struct LogSink;
  Eal();

  std::unique_ptr<LogSink> sink_;
  bool huge_pages_ = false;
  bool started_ = false;
};

/// Makes the current thread known to DPDK for the life of this object, which gives it a cache in front of its mbuf pool.
/// A worker holds one on its own thread; that thread's affinity is its own affair.
class EalThread {
 public:
  [[nodiscard]] static Result<EalThread, std::string> register_current();
  ~EalThread();
  EalThread(EalThread&& other) noexcept;
  EalThread& operator=(EalThread&&) = delete;

 private:
  EalThread() = default;
  bool registered_ = true;
};

/// Megabytes of huge pages that are free on this machine, all sizes together (from /sys/kernel/mm/hugepages).
[[nodiscard]] std::size_t free_huge_page_mb(const std::string& sysfs = "/sys/kernel/mm/hugepages");

}  // namespace millrace::nic
