// The listeners of one worker by name.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/model/snapshot.h"
#include "dataplane/base/time.h"
#include "dataplane/proxy/listener_runtime.h"

namespace millrace::proxy {

class ListenerTable {
 public:
  explicit ListenerTable(Runtime& runtime) : runtime_(runtime) {}

  void apply(const config::Snapshot& snapshot, Instant now);
  /// Null when the snapshot applied last has no such listener.
  [[nodiscard]] ListenerRuntime* find(const std::string& name) const;

 private:
  Runtime& runtime_;
  std::unordered_map<std::string, std::unique_ptr<ListenerRuntime>> by_name_;
  std::vector<std::unique_ptr<ListenerRuntime>> retired_;  // the worker may still refer to those of the last apply()
};

}  // namespace millrace::proxy
