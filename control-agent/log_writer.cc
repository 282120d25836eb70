#include "control-agent/log_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace millrace::agent {
namespace {

constexpr std::chrono::milliseconds kInterval{50};
// What is collected before a write: rings are drained into this, so it also bounds memory when a disk is slow.
constexpr std::size_t kFlushBytes = 256 * 1024;

// Standard streams are duplicated, so that every sink is closed alike.
int open_file(const std::string& path) {
  if (path == "/dev/stdout") return dup(STDOUT_FILENO);
  if (path == "/dev/stderr") return dup(STDERR_FILENO);
  return ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

}  // namespace

LogWriter::LogWriter(const std::vector<config::LogSink>& sinks, std::vector<report::WorkerReport*> workers)
    : workers_(std::move(workers)) {
  if (const auto opened = open(sinks); !opened) throw std::runtime_error(opened.error());
  thread_ = std::thread([this] { run(); });
}

Result<void, std::string> LogWriter::open(const std::vector<config::LogSink>& sinks) {
  const std::lock_guard lock(sinks_mutex_);
  const std::size_t before = sinks_.size();
  for (std::size_t i = before; i < sinks.size(); ++i) {
    const int descriptor = open_file(sinks[i].path);
    if (descriptor < 0) {
      const std::string reason = std::strerror(errno);
      for (; sinks_.size() > before; sinks_.pop_back()) close(sinks_.back().descriptor);
      return Error<std::string>("access log " + sinks[i].path + " cannot be opened: " + reason +
                                "; create its directory or give the gateway permission to write there");
    }
    sinks_.push_back({.path = sinks[i].path, .descriptor = descriptor, .pending = {}, .pending_lines = 0});
  }
  return {};
}

LogWriter::~LogWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  for (const Sink& sink : sinks_) close(sink.descriptor);
}

void LogWriter::reopen() {
  {
    const std::lock_guard lock(mutex_);
    reopen_wanted_ = true;
  }
  wake_.notify_one();
}

void LogWriter::run() {
  pthread_setname_np(pthread_self(), "mr-log");
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait_for(lock, kInterval, [this] { return stopping_ || reopen_wanted_; });
    const bool reopen_now = std::exchange(reopen_wanted_, false);
    const bool last = stopping_;
    lock.unlock();
    {
      const std::lock_guard files(sinks_mutex_);
      drain_rings();
      for (Sink& sink : sinks_) flush(sink);
      if (reopen_now) reopen_files();
    }
    if (last) return;
    lock.lock();
  }
}

void LogWriter::drain_rings() {
  for (report::WorkerReport* worker : workers_) {
    worker->log.drain([this](std::uint32_t index, std::string_view first, std::string_view second) {
      Sink& sink = sinks_.at(index);
      sink.pending.append(first).append(second);
      ++sink.pending_lines;
      if (sink.pending.size() >= kFlushBytes) flush(sink);
    });
  }
}

void LogWriter::flush(Sink& sink) {
  std::string_view rest = sink.pending;
  while (!rest.empty()) {
    const ssize_t written = write(sink.descriptor, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  (rest.empty() ? lines_ : failed_).fetch_add(sink.pending_lines, std::memory_order_relaxed);
  sink.pending.clear();
  sink.pending_lines = 0;
}

void LogWriter::reopen_files() {
  for (Sink& sink : sinks_) {
    const int descriptor = open_file(sink.path);
    if (descriptor < 0) continue;  // the old file is better than none
    close(sink.descriptor);
    sink.descriptor = descriptor;
  }
}

}  // namespace millrace::agent
