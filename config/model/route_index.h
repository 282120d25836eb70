// Which routes of a virtual host a path can meet: two radix trees over what the routes' path conditions begin with. It only
// leaves routes out: whoever asks looks at the rest in their order, and so finds what looking at all would. Built by
// config/compile/route_index.h, asked by dataplane/proxy/policy/route_candidates.h.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::config {

/// A route that a path may meet. One with all its conditions fills several lines of the cache, and most have none but that of the
/// path, which their place in a tree has met.
class Candidate {
 public:
  Candidate() = default;
  constexpr Candidate(std::uint32_t route, bool conditional) : value_(route << 1 | static_cast<std::uint32_t>(conditional)) {}

  [[nodiscard]] constexpr std::uint32_t route() const { return value_ >> 1; }        ///< into VirtualHost::routes
  [[nodiscard]] constexpr bool is_conditional() const { return (value_ & 1) != 0; }  ///< the route has to be asked
  constexpr auto operator<=>(const Candidate&) const = default;

 private:
  std::uint32_t value_;
};

/// A radix tree. Its root is nodes[0] and stands for the empty text; no nodes: no routes.
struct PathTree {
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  static constexpr std::size_t kBranchPadding = 32;  ///< for those who look at so many at once
  static constexpr std::size_t kLongestLabel = std::numeric_limits<std::uint16_t>::max();

  /// None lies across two lines of the cache: a request for a route that nobody has asked for lately waits for each of them.
  struct alignas(32) Node {
    std::uint64_t label = 0;  ///< what follows the byte by which the parent chose this node, or, if it is longer, where in labels
    std::uint16_t label_bytes = 0;
    std::uint16_t child_count = 0;  ///< at most 256
    std::uint32_t first_child = 0;  ///< into nodes and branches; children are in the order of their bytes
    union {
      std::uint32_t first = 0;  ///< into candidates: those of this text, then those of longer ones where these are not the same
      Candidate only;           ///< where there is one in all
    };
    std::uint32_t count = 0;           ///< candidates for a path that ends here
    std::uint32_t open_count = 0;      ///< candidates for one that goes on, among them
    std::uint32_t open_above = kNone;  ///< the nearest node above where there are such
  };
  std::vector<Node> nodes;
  std::string branches;               ///< of each node, the byte by which its parent chooses it
  std::string labels;                 ///< the long ones
  std::vector<Candidate> candidates;  ///< each list of a node ascends

  [[nodiscard]] std::string_view label_of(const Node& node) const {
    if (node.label_bytes > sizeof(node.label)) return {labels.data() + node.label, node.label_bytes};
    return {reinterpret_cast<const char*>(&node.label), node.label_bytes};
  }
  /// For a path that ends at `node`.
  [[nodiscard]] std::span<const Candidate> candidates_of(const Node& node) const { return {first_of(node), node.count}; }
  /// For one that goes on.
  [[nodiscard]] std::span<const Candidate> open_candidates_of(const Node& node) const {
    return {first_of(node) + (node.open_count == node.count ? 0 : node.count), node.open_count};
  }

 private:
  // An only one is the node's own: a line of memory less.
  [[nodiscard]] const Candidate* first_of(const Node& node) const {
    return node.count == 1 ? &node.only : candidates.data() + node.first;
  }
};

struct RouteIndex {
  PathTree as_written;  ///< of conditions that heed the case of letters
  PathTree lower_case;  ///< of all others

  [[nodiscard]] bool empty() const { return as_written.nodes.empty() && lower_case.nodes.empty(); }
};

}  // namespace millrace::config
