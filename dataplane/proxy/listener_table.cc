#include "dataplane/proxy/listener_table.h"

#include <unordered_set>

namespace millrace::proxy {

void ListenerTable::apply(const config::Snapshot& snapshot, Instant now) {
  std::erase_if(retired_, [](const auto& listener) { return listener->is_unused(); });
  std::unordered_set<std::string> configured;
  for (const auto& listener : snapshot.listeners) {
    configured.insert(listener->name);
    std::unique_ptr<ListenerRuntime>& runtime = by_name_[listener->name];
    if (runtime == nullptr) {
      runtime = std::make_unique<ListenerRuntime>(runtime_, listener);
    } else {
      runtime->update(listener, now);
    }
  }
  for (auto at = by_name_.begin(); at != by_name_.end();) {
    if (configured.contains(at->first)) {
      ++at;
      continue;
    }
    at->second->retire(now);
    retired_.push_back(std::move(at->second));
    at = by_name_.erase(at);
  }
}

ListenerRuntime* ListenerTable::find(const std::string& name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : at->second.get();
}

}  // namespace millrace::proxy
