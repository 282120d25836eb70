// What is kept by name of each of ten thousand resources: beside each other in the order of their names, without a node for each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "control-agent/discovery/shared_name.h"

namespace millrace::agent {

/// As std::map<SharedName, Value>. To add many is cheap, to add them one by one is not.
template <typename Value>
class NameTable {
 public:
  using Entry = std::pair<SharedName, Value>;

  /// Gives each of these names its value; of those that come twice the last one counts.
  void set_all(std::vector<Entry> entries) {
    std::vector<Entry> added;
    for (Entry& entry : entries) {
      const auto at = position(entry.first);
      if (at != entries_.end() && at->first == entry.first) {
        at->second = std::move(entry.second);
      } else {
        added.push_back(std::move(entry));
      }
    }
    if (added.empty()) return;
    std::ranges::stable_sort(added, {}, &Entry::first);
    std::vector<Entry> all;
    all.reserve(entries_.size() + added.size());
    auto old = entries_.begin();
    for (Entry& entry : added) {
      while (old != entries_.end() && old->first < entry.first) all.push_back(std::move(*old++));
      if (!all.empty() && all.back().first == entry.first) {
        all.back().second = std::move(entry.second);
      } else {
        all.push_back(std::move(entry));
      }
    }
    std::move(old, entries_.end(), std::back_inserter(all));
    entries_ = std::move(all);
  }
  template <typename Predicate>
  void erase_if(Predicate&& predicate) {
    std::erase_if(entries_, predicate);
  }

  /// Null: there is none of that name.
  [[nodiscard]] const Entry* find(const std::string& name) const {
    const auto at = std::lower_bound(entries_.begin(), entries_.end(), name, IsBefore());
    return at != entries_.end() && at->first == name ? &*at : nullptr;
  }
  [[nodiscard]] bool contains(const std::string& name) const { return find(name) != nullptr; }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] auto begin() const { return entries_.begin(); }
  [[nodiscard]] auto end() const { return entries_.end(); }

 private:
  struct IsBefore {
    bool operator()(const Entry& entry, const std::string& name) const { return entry.first.text() < name; }
  };
  auto position(const std::string& name) { return std::lower_bound(entries_.begin(), entries_.end(), name, IsBefore()); }

  std::vector<Entry> entries_;
};

}  // namespace millrace::agent
