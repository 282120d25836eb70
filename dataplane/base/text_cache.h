// A bounded set of texts, each with the time until which it counts. What is used least goes first, within a few neighbours: a
// text has kWays places where it can stand. All memory is taken at the start, and touched by the system only where it is used.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace millrace {

/// Of one thread. Whoever can insert chooses the texts: keep those of strangers out.
class TextCache {
 public:
  /// Longer texts are not taken.
  static constexpr std::size_t kMostTextBytes = 4 * 1024;
  static constexpr std::size_t kWays = 4;

  /// Rounded up to a multiple of kWays.
  explicit TextCache(std::size_t entries)
      : entries_((std::max<std::size_t>(entries, 1) + kWays - 1) / kWays * kWays),
        texts_(std::make_unique_for_overwrite<char[]>(entries_.size() * kMostTextBytes)) {}

  /// `now` in the unit of insert()'s `until`.
  [[nodiscard]] bool contains(std::string_view text, std::uint64_t now) {
    const std::size_t hash = hash_of(text);
    for (Entry& entry : ways_of(hash)) {
      if (entry.hash != hash || text_of(entry) != text) continue;
      if (now > entry.until) {
        entry = {};
        return false;
      }
      entry.used = ++uses_;
      return true;
    }
    return false;
  }

  /// In the place of the one of its neighbours that was used last the longest time ago.
  void insert(std::string_view text, std::uint64_t until) {
    if (text.empty() || text.size() > kMostTextBytes) return;
    const std::size_t hash = hash_of(text);
    Entry& entry = *std::ranges::min_element(ways_of(hash), {}, &Entry::used);
    entry = {.hash = hash, .used = ++uses_, .until = until, .size = text.size()};
    std::memcpy(place_of(entry), text.data(), text.size());
  }

 private:
  struct Entry {
    std::size_t hash = 0;
    std::uint64_t used = 0;  // 0: free
    std::uint64_t until = 0;
    std::size_t size = 0;
  };

  static std::size_t hash_of(std::string_view text) { return std::hash<std::string_view>{}(text); }
  std::span<Entry> ways_of(std::size_t hash) {
    return std::span(entries_).subspan(hash % (entries_.size() / kWays) * kWays, kWays);
  }
  char* place_of(const Entry& entry) { return &texts_[static_cast<std::size_t>(&entry - entries_.data()) * kMostTextBytes]; }
  std::string_view text_of(const Entry& entry) { return {place_of(entry), entry.size}; }

  std::vector<Entry> entries_;
  std::unique_ptr<char[]> texts_;  // kMostTextBytes for each
  std::uint64_t uses_ = 0;
};

}  // namespace millrace
