// A map whose copies share what does not change: copying costs one pointer, a change in a copy a small part of the map, and what
// differs between two of them is found without looking at what they share. For worlds of thousands of entries of which one
// changes.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace millrace::config {

/// As a value: copies are independent. Several threads may read and copy one at the same time; changing needs one alone. Entries
/// have no order. `Hash` and `Equal` may be transparent: find() takes whatever they take.
template <typename Key, typename Value, typename Hash = std::hash<Key>, typename Equal = std::equal_to<>>
class SharedMap {
  struct Root;

 public:
  using value_type = std::pair<Key, Value>;

  SharedMap() = default;
  SharedMap(const SharedMap& other) : root_(other.root_), size_(other.size_) { other.owner_.store(0, std::memory_order_relaxed); }
  SharedMap(SharedMap&& other) noexcept
      : root_(std::move(other.root_)), size_(std::exchange(other.size_, 0)), owner_(other.owner_.exchange(0)) {}
  SharedMap& operator=(const SharedMap& other) {
    if (this != &other) *this = SharedMap(other);
    return *this;
  }
  SharedMap& operator=(SharedMap&& other) noexcept {
    root_ = std::move(other.root_);
    size_ = std::exchange(other.size_, 0);
    owner_.store(other.owner_.exchange(0));
    return *this;
  }
  ~SharedMap() = default;

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

  /// Null: there is none.
  template <typename Like>
  [[nodiscard]] const Value* find(const Like& key) const {
    if (root_ == nullptr) return nullptr;
    const std::size_t hash = Hash{}(key);
    const Shard* shard = root_->shards[hash % kShards].get();
    if (shard == nullptr) return nullptr;
    const std::size_t at = shard->find(hash, key);
    return at == kNone ? nullptr : &shard->entries[at].second;
  }
  template <typename Like>
  [[nodiscard]] bool contains(const Like& key) const {
    return find(key) != nullptr;
  }

  /// Adds the entry, or gives the key another value.
  void set(Key key, Value value) {
    const std::size_t hash = Hash{}(key);
    Shard& shard = own_shard(hash % kShards);
    const std::size_t at = shard.find(hash, key);
    if (at != kNone) {
      shard.entries[at].second = std::move(value);
      return;
    }
    shard.hashes.push_back(hash);
    shard.entries.emplace_back(std::move(key), std::move(value));
    ++size_;
  }
  /// Adds the entry unless the key has one.
  void add(Key key, Value value) {
    if (!contains(key)) set(std::move(key), std::move(value));
  }
  template <typename Like>
  void erase(const Like& key) {
    if (!contains(key)) return;
    const std::size_t hash = Hash{}(key);
    Shard& shard = own_shard(hash % kShards);
    const std::size_t at = shard.find(hash, key);
    shard.hashes[at] = shard.hashes.back();
    if (at + 1 != shard.entries.size()) shard.entries[at] = std::move(shard.entries.back());
    shard.hashes.pop_back();
    shard.entries.pop_back();
    --size_;
  }
  template <typename Predicate>
  void erase_if(Predicate&& predicate) {
    std::vector<Key> gone;
    for (const auto& entry : *this) {
      if (predicate(entry)) gone.push_back(entry.first);
    }
    for (const Key& key : gone) erase(key);
  }

  class Iterator {
   public:
    using value_type = SharedMap::value_type;
    using difference_type = std::ptrdiff_t;
    using reference = const value_type&;
    using pointer = const value_type*;
    using iterator_category = std::forward_iterator_tag;

    Iterator() = default;
    [[nodiscard]] reference operator*() const { return root_->shards[shard_]->entries[at_]; }
    [[nodiscard]] pointer operator->() const { return &**this; }
    Iterator& operator++() {
      ++at_;
      settle();
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const Iterator&) const = default;

   private:
    friend class SharedMap;
    Iterator(const typename SharedMap::Root* root, std::size_t shard) : root_(root), shard_(shard) { settle(); }
    void settle() {
      while (shard_ < kShards && (root_->shards[shard_] == nullptr || at_ >= root_->shards[shard_]->entries.size())) {
        ++shard_;
        at_ = 0;
      }
    }

    const typename SharedMap::Root* root_ = nullptr;
    std::size_t shard_ = kShards;
    std::size_t at_ = 0;
  };
  [[nodiscard]] Iterator begin() const { return root_ == nullptr ? Iterator() : Iterator(root_.get(), 0); }
  [[nodiscard]] Iterator end() const { return root_ == nullptr ? Iterator() : Iterator(root_.get(), kShards); }

  /// Calls `visit(key, before, after)` for every key whose value is not the same in both; a null pointer: it has none there.
  template <typename Visit>
  static void for_each_change(const SharedMap& before, const SharedMap& after, Visit&& visit) {
    if (before.root_ == after.root_) return;
    for (std::size_t i = 0; i < kShards; ++i) {
      const Shard* a = before.root_ == nullptr ? nullptr : before.root_->shards[i].get();
      const Shard* b = after.root_ == nullptr ? nullptr : after.root_->shards[i].get();
      if (a == b) continue;
      if (a != nullptr) {
        for (std::size_t k = 0; k < a->entries.size(); ++k) {
          const std::size_t at = b == nullptr ? kNone : b->find(a->hashes[k], a->entries[k].first);
          const Value* now = at == kNone ? nullptr : &b->entries[at].second;
          if (now == nullptr || !(*now == a->entries[k].second)) visit(a->entries[k].first, &a->entries[k].second, now);
        }
      }
      if (b == nullptr) continue;
      for (std::size_t k = 0; k < b->entries.size(); ++k) {
        if (a == nullptr || a->find(b->hashes[k], b->entries[k].first) == kNone)
          visit(b->entries[k].first, static_cast<const Value*>(nullptr), &b->entries[k].second);
      }
    }
  }

 private:
  static constexpr std::size_t kShards = 1024;
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  struct Shard {
    std::uint64_t owner = 0;
    std::vector<std::size_t> hashes;  // beside each other: most of a search stays in one cache line
    std::vector<value_type> entries;

    template <typename Like>
    [[nodiscard]] std::size_t find(std::size_t hash, const Like& key) const {
      for (std::size_t i = 0; i < hashes.size(); ++i) {
        if (hashes[i] == hash && Equal{}(entries[i].first, key)) return i;
      }
      return kNone;
    }
  };
  struct Root {
    std::uint64_t owner = 0;
    std::array<std::shared_ptr<Shard>, kShards> shards;
  };

  // The number under which this object changes what it has made itself. A copy may share that from then on: both get new ones.
  [[nodiscard]] std::uint64_t owner() {
    static std::atomic<std::uint64_t> last{0};
    if (owner_.load(std::memory_order_relaxed) == 0)
      owner_.store(last.fetch_add(1, std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return owner_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] Shard& own_shard(std::size_t index) {
    const std::uint64_t me = owner();
    if (root_ == nullptr || root_->owner != me) {
      root_ = root_ == nullptr ? std::make_shared<Root>() : std::make_shared<Root>(*root_);
      root_->owner = me;
    }
    std::shared_ptr<Shard>& shard = root_->shards[index];
    if (shard == nullptr || shard->owner != me) {
      shard = shard == nullptr ? std::make_shared<Shard>() : std::make_shared<Shard>(*shard);
      shard->owner = me;
    }
    return *shard;
  }

  std::shared_ptr<Root> root_;
  std::size_t size_ = 0;
  mutable std::atomic<std::uint64_t> owner_{0};  // 0: nothing that is shared may be changed
};

}  // namespace millrace::config
