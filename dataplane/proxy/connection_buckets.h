// Token buckets that a client's connection has for itself: local_rate_limit_per_downstream_connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "dataplane/base/pool.h"
#include "dataplane/base/shared_token_bucket.h"

namespace millrace::proxy {

/// Few are expected: they are looked for one by one.
class ConnectionBuckets {
 public:
  struct Node {
    explicit Node(std::uint32_t given, Node* behind) : id(given), next(behind) {}
    const std::uint32_t id;
    SharedTokenBucket bucket;
    Node* const next;
  };

  /// Buckets a connection that there is room for.
  static constexpr std::size_t kAverage = 4;

  explicit ConnectionBuckets(Pool<Node>& pool) : pool_(pool) {}
  ~ConnectionBuckets() {
    while (first_ != nullptr) pool_.destroy(std::exchange(first_, first_->next));
  }
  ConnectionBuckets(const ConnectionBuckets&) = delete;
  ConnectionBuckets& operator=(const ConnectionBuckets&) = delete;

  /// Full when it is made. `id`: of a report::TokenBucketCell. Null: the pool is exhausted.
  [[nodiscard]] SharedTokenBucket* find_or_make(std::uint32_t id) {
    for (Node* node = first_; node != nullptr; node = node->next) {
      if (node->id == id) return &node->bucket;
    }
    Node* node = pool_.make(id, first_);
    if (node == nullptr) return nullptr;
    first_ = node;
    return &node->bucket;
  }

 private:
  Pool<Node>& pool_;
  Node* first_ = nullptr;
};

}  // namespace millrace::proxy
