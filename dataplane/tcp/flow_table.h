// Finds what we keep for a four-tuple. Open addressing over buckets of one cache line each: seven entries with a byte of their
// hash, so that a lookup reads one line, compares all seven bytes at once, and touches an entry only when it is very likely the
// right one.
//
//   | 7 tags | passed | 7 entries |       passed: how many entries that belong here (or before) had to go on to the next bucket,
//                                     which is how far a lookup has to go; removal counts it down, so that nothing is left behind
//
// Hashed with a secret key: nobody can aim at one bucket. Sized at start for all that can exist; never grows, never fails.
#pragma once

#include <emmintrin.h>

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "dataplane/base/assert.h"
#include "dataplane/tcp/flow.h"

namespace millrace::tcp {

class FlowTable {
 public:
  /// Room for `most` entries.
  FlowTable(std::size_t most, const KeyedHash& hash)
      : hash_(hash), most_(most), buckets_(std::bit_ceil(most / kExpectedPerBucket + 1)), mask_(buckets_.size() - 1) {}

  [[nodiscard]] std::uint32_t hash(const FlowKey& key) const {
    return static_cast<std::uint32_t>(hash_flow(hash_, key, HashPurpose::kTable));
  }
  /// Null when there is none.
  [[nodiscard]] FlowEntry* find(const FlowKey& key) const {
    const std::uint32_t h = hash(key);
    for (std::size_t at = h & mask_;; at = (at + 1) & mask_) {
      const Bucket& bucket = buckets_[at];
      for (unsigned hits = bucket.matches(tag_of(h)); hits != 0; hits &= hits - 1) {
        FlowEntry* entry = bucket.entries[static_cast<unsigned>(std::countr_zero(hits))];
        if (entry->hash == h && entry->key == key) return entry;
      }
      if (bucket.passed == 0) return nullptr;
    }
  }
  /// The key must not be in the table, the table not full.
  void insert(FlowEntry& entry) {
    MR_ASSERT(size_ < most_);
    entry.hash = hash(entry.key);
    std::size_t at = entry.hash & mask_;
    while (buckets_[at].matches(0) == 0) {
      // A count that has reached its end stays there: lookups then go on for nothing, never too short.
      if (buckets_[at].passed < kManyPassed) ++buckets_[at].passed;
      at = (at + 1) & mask_;
    }
    const auto slot = static_cast<unsigned>(std::countr_zero(buckets_[at].matches(0)));
    buckets_[at].tags[slot] = tag_of(entry.hash);
    buckets_[at].entries[slot] = &entry;
    entry.in_table = true;
    ++size_;
  }
  /// No effect when it is not in the table.
  void remove(FlowEntry& entry) {
    if (!entry.in_table) return;
    std::size_t at = entry.hash & mask_;
    while (!buckets_[at].take_out(entry, tag_of(entry.hash))) {
      MR_ASSERT(buckets_[at].passed > 0);
      if (buckets_[at].passed < kManyPassed) --buckets_[at].passed;
      at = (at + 1) & mask_;
    }
    entry.in_table = false;
    --size_;
  }
  [[nodiscard]] std::size_t size() const { return size_; }

  /// For walks over all entries, some buckets at a time: an entry stays in its bucket as long as it is in the table.
  [[nodiscard]] std::size_t buckets() const { return buckets_.size(); }
  template <typename Visit>
  void visit_bucket(std::size_t index, Visit&& visit) const {
    const Bucket& bucket = buckets_[index];
    for (unsigned used = ~bucket.matches(0) & ((1u << kSlots) - 1); used != 0; used &= used - 1) {
      visit(static_cast<const FlowEntry&>(*bucket.entries[static_cast<unsigned>(std::countr_zero(used))]));
    }
  }

 private:
  static constexpr std::size_t kSlots = 7;
  static constexpr std::size_t kExpectedPerBucket = 5;  // full tables have few buckets that overflow
  static constexpr std::uint8_t kManyPassed = 0xff;

  struct alignas(64) Bucket {
    std::array<std::uint8_t, kSlots> tags{};  // 0: free
    std::uint8_t passed = 0;
    std::array<FlowEntry*, kSlots> entries{};

    /// A bit for each slot with this tag.
    [[nodiscard]] unsigned matches(std::uint8_t tag) const {
      const __m128i line = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(tags.data()));
      const __m128i equal = _mm_cmpeq_epi8(line, _mm_set1_epi8(static_cast<char>(tag)));
      return static_cast<unsigned>(_mm_movemask_epi8(equal)) & ((1u << kSlots) - 1);
    }
    bool take_out(const FlowEntry& entry, std::uint8_t tag) {
      for (unsigned hits = matches(tag); hits != 0; hits &= hits - 1) {
        const auto slot = static_cast<unsigned>(std::countr_zero(hits));
        if (entries[slot] != &entry) continue;
        tags[slot] = 0;
        return true;
      }
      return false;
    }
  };
  static_assert(sizeof(Bucket) == 64);

  // The low bits choose the bucket, the high ones the tag.
  [[nodiscard]] static std::uint8_t tag_of(std::uint32_t hash) {
    const auto tag = static_cast<std::uint8_t>(hash >> 24);
    return tag != 0 ? tag : std::uint8_t{1};
  }

  KeyedHash hash_;
  std::size_t most_;
  std::vector<Bucket> buckets_;
  std::size_t mask_;
  std::size_t size_ = 0;
};

}  // namespace millrace::tcp
