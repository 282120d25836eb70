// Copies the plain counters of a worker's parts to its report, where other threads may read them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/time.h"
#include "dataplane/report/worker_report.h"

namespace millrace::worker {

/// The values are registered at construction of the worker; refresh() copies all of them.
class PublishedCounters {
 public:
  explicit PublishedCounters(report::WorkerReport& report) : report_(report) {}

  /// `source` must outlive this object.
  void add_counter(std::string name, const std::uint64_t& source) {
    add(
        std::move(name), false, [](const void* p) { return static_cast<std::int64_t>(*static_cast<const std::uint64_t*>(p)); },
        &source);
  }
  /// A gauge read through `read(source)`.
  void add_gauge(std::string name, std::int64_t (*read)(const void* source), const void* source) {
    add(std::move(name), true, read, source);
  }

  /// A gauge that a member function tells: add_gauge<&tcp::Stack::half_open>("tcp.half_open", stack).
  template <auto Method, typename T>
  void add_gauge(std::string name, const T& object) {
    add_gauge(
        std::move(name), [](const void* p) { return static_cast<std::int64_t>((static_cast<const T*>(p)->*Method)()); }, &object);
  }

  /// Copies everything if `interval` has passed since the last time.
  void refresh(Instant now, Duration interval) {
    if (last_ + interval > now && interval > Duration()) return;
    last_ = now;
    for (std::size_t i = 0; i < sources_.size(); ++i) report_.values[i].value.set(sources_[i].read(sources_[i].object));
  }

 private:
  struct Source {
    std::int64_t (*read)(const void*);
    const void* object;
  };
  void add(std::string name, bool is_gauge, std::int64_t (*read)(const void*), const void* object);

  report::WorkerReport& report_;
  std::vector<Source> sources_;
  Instant last_;
};

}  // namespace millrace::worker
