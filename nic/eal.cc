// EAL start-up; see eal.h.
#include "nic/eal.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

namespace millrace::nic {

/// The stream that DPDK logs into. Its cookie is this object, so that no global is needed.
struct Eal::LogSink {
  EalLog log;
  EalLogLevel level = EalLogLevel::kInfo;
  FILE* stream = nullptr;

  ~LogSink() {
    if (stream == nullptr) return;
    rte_openlog_stream(nullptr);
    std::fclose(stream);
  }

  static EalLogLevel level_of(int rte_level) {
    if (rte_level <= static_cast<int>(RTE_LOG_ERR)) return EalLogLevel::kError;
    if (rte_level == static_cast<int>(RTE_LOG_WARNING)) return EalLogLevel::kWarning;
    return rte_level < static_cast<int>(RTE_LOG_DEBUG) ? EalLogLevel::kInfo : EalLogLevel::kDebug;
  }

  static ssize_t write(void* cookie, const char* text, std::size_t size) {
    const auto& sink = *static_cast<LogSink*>(cookie);
    const EalLogLevel level = level_of(rte_log_cur_msg_loglevel());
    std::string_view rest(text, size);
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      const std::string_view line = rest.substr(0, end);
      if (!line.empty() && sink.log && level <= sink.level) sink.log(level, line);
      rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    }
    return static_cast<ssize_t>(size);
  }
};

namespace {

std::size_t read_number(const std::string& path) {
  FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return 0;
  unsigned long long value = 0;
  const int fields = std::fscanf(file, "%llu", &value);
  std::fclose(file);
  return fields == 1 ? static_cast<std::size_t>(value) : 0;
}

const char* log_level_argument(EalLogLevel level) {
  switch (level) {
    case EalLogLevel::kError: return "--log-level=error";
    case EalLogLevel::kWarning: return "--log-level=warning";
    case EalLogLevel::kInfo: return "--log-level=info";
    case EalLogLevel::kDebug: return "--log-level=debug";
  }
  return "--log-level=info";
}

int first_cpu(const cpu_set_t& set) {
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) return cpu;
  }
  return 0;
}

std::vector<std::string> arguments(const EalOptions& options, bool huge_pages, int control_cpu) {
  std::vector<std::string> list{"millrace", "--lcores=0@" + std::to_string(control_cpu), "--no-telemetry",
                                "--file-prefix=millrace-" + std::to_string(getpid()), log_level_argument(options.log_level)};
  if (huge_pages) {
    list.emplace_back("--in-memory");
  } else {
    list.insert(list.end(), {"--no-huge", "--no-shconf", "-m", std::to_string(options.memory_mb)});
  }
  if (options.pci_addresses.empty()) {
    // Virtual addresses as IOVA keep a pool in one piece, as AF_XDP needs it; with PCI devices EAL finds out what the IOMMU
    // allows.
    list.insert(list.end(), {"--no-pci", "--iova-mode=va"});
  }
  for (const std::string& address : options.pci_addresses) list.insert(list.end(), {"-a", address});
  return list;
}

std::string start_error(int error, const EalOptions& options, bool huge_pages) {
  std::string text = "cannot start DPDK's EAL: " + std::string(rte_strerror(error)) + ". ";
  if (error == EALREADY) return text + "It can be started only once in a process.";
  if (geteuid() != 0) text += "This process is not root: run it as root, or with CAP_NET_ADMIN, CAP_SYS_ADMIN and CAP_IPC_LOCK. ";
  if (!options.pci_addresses.empty()) {
    text += "PCI devices must be bound to vfio-pci (dpdk-devbind.py) or be of a bifurcated kind such as mlx5. ";
  }
  text += "It was asked for " + std::to_string(options.memory_mb) + " MB of " + (huge_pages ? "huge" : "ordinary") +
          " memory: see the log above for EAL's own reason; less memory or more free memory may help.";
  return text;
}

}  // namespace

std::size_t free_huge_page_mb(const std::string& sysfs) {
  DIR* directory = opendir(sysfs.c_str());
  if (directory == nullptr) return 0;
  std::size_t total_kb = 0;
  while (const dirent* entry = readdir(directory)) {
    unsigned long long page_kb = 0;
    if (std::sscanf(entry->d_name, "hugepages-%llukB", &page_kb) != 1) continue;
    total_kb += page_kb * read_number(sysfs + "/" + entry->d_name + "/free_hugepages");
  }
  closedir(directory);
  return total_kb / 1024;
}

Eal::Eal() : sink_(std::make_unique<LogSink>()) {}

Result<std::unique_ptr<Eal>, std::string> Eal::start(EalOptions options) {
  // EAL refuses a second start by itself, but only after we would have taken the first one's log away.
  if (rte_lcore_count() != 0) return Error<std::string>(start_error(EALREADY, options, false));
  std::unique_ptr<Eal> eal(new Eal());
  eal->huge_pages_ = options.huge_pages == HugePages::kIfFree && free_huge_page_mb() >= options.memory_mb;
  eal->sink_->log = options.log;
  eal->sink_->level = options.log_level;
  eal->sink_->stream =
      fopencookie(eal->sink_.get(), "w", {.read = nullptr, .write = &LogSink::write, .seek = nullptr, .close = nullptr});
  if (eal->sink_->stream == nullptr) return Error<std::string>("cannot start DPDK's EAL: no memory for its log stream");
  std::setvbuf(eal->sink_->stream, nullptr, _IOLBF, 1024);
  rte_openlog_stream(eal->sink_->stream);

  cpu_set_t own;
  CPU_ZERO(&own);
  if (const int error = pthread_getaffinity_np(pthread_self(), sizeof(own), &own); error != 0) {
    return Error<std::string>("cannot start DPDK's EAL: the thread's CPU affinity cannot be read: " +
                              std::string(std::strerror(error)));
  }
  const int control_cpu = options.control_cpu >= 0 ? options.control_cpu : first_cpu(own);
  // EAL puts its own threads on the CPUs that this thread may use and no lcore has. With only the control CPU left to it, they
  // land there too, and never beside a worker.
  cpu_set_t control;
  CPU_ZERO(&control);
  CPU_SET(static_cast<std::size_t>(control_cpu), &control);
  if (const int error = pthread_setaffinity_np(pthread_self(), sizeof(control), &control); error != 0) {
    return Error<std::string>("cannot start DPDK's EAL on CPU " + std::to_string(control_cpu) + ": " + std::strerror(error) +
                              ". Choose a CPU that this process may run on.");
  }

  std::vector<std::string> list = arguments(options, eal->huge_pages_, control_cpu);
  std::vector<char*> argv;
  for (std::string& argument : list) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const int parsed = rte_eal_init(static_cast<int>(list.size()), argv.data());
  const int error = rte_errno;
  pthread_setaffinity_np(pthread_self(), sizeof(own), &own);
  if (parsed < 0) return Error<std::string>(start_error(error, options, eal->huge_pages_));
  eal->started_ = true;
  rmdir(rte_eal_get_runtime_dir());  // EAL makes it before it knows that it will stay empty
  return eal;
}

Eal::~Eal() {
  if (started_) rte_eal_cleanup();
}

Result<EalThread, std::string> EalThread::register_current() {
  if (rte_thread_register() != 0) {
    return Error<std::string>("cannot register a worker thread with DPDK: " + std::string(rte_strerror(rte_errno)) +
                              ". At most " + std::to_string(RTE_MAX_LCORE - 1) + " threads can be registered.");
  }
  return EalThread();
}

EalThread::EalThread(EalThread&& other) noexcept : registered_(std::exchange(other.registered_, false)) {}

EalThread::~EalThread() {
  if (registered_) rte_thread_unregister();
}

}  // namespace millrace::nic
