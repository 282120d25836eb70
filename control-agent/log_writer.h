// Takes access log lines out of the workers' rings and writes them where the configuration says. One thread; workers never wait
// for it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "config/model/snapshot.h"
#include "dataplane/base/result.h"
#include "dataplane/report/worker_report.h"

namespace millrace::agent {

class LogWriter {
 public:
  /// Opens every sink. Throws std::runtime_error, naming path and reason, when one cannot be opened. The reports must outlive
  /// this.
  LogWriter(const std::vector<config::LogSink>& sinks, std::vector<report::WorkerReport*> workers);
  /// Writes what is left, then ends.
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  /// Opens what `sinks` holds beyond those that are open: all of that, or nothing. An error names path and reason. Any thread.
  [[nodiscard]] Result<void, std::string> open(const std::vector<config::LogSink>& sinks);

  /// Closes and opens the files again, so that logrotate can move them away. Any thread.
  void reopen();

  [[nodiscard]] std::uint64_t lines_written() const { return lines_.load(std::memory_order_relaxed); }
  /// Lines that a file did not take (disk full): lost, counted.
  [[nodiscard]] std::uint64_t lines_failed() const { return failed_.load(std::memory_order_relaxed); }

 private:
  struct Sink {
    std::string path;
    int descriptor = -1;
    std::string pending;
    std::uint64_t pending_lines = 0;
  };

  void run();
  void drain_rings();
  void flush(Sink& sink);
  void reopen_files();

  std::mutex sinks_mutex_;  // of sinks_: lines may come as soon as open() has returned
  std::vector<Sink> sinks_;
  std::vector<report::WorkerReport*> workers_;
  std::atomic<std::uint64_t> lines_{0};
  std::atomic<std::uint64_t> failed_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  bool reopen_wanted_ = false;
  std::thread thread_;
};

}  // namespace millrace::agent
