// Which routes of a virtual host a path can meet: two radix trees over what the routes' path conditions begin with. It only
// leaves routes out: whoever asks looks at the rest in their order, and so finds what looking at all would. Built by
// config/compile/route_index.h, asked by dataplane/proxy/policy/route_candidates.h.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace millrace::config {

/// A radix tree. Its root is nodes[0] and stands for the empty text; no nodes: no routes.
struct PathTree {
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  /// None lies across two lines of the cache: a request for a route that nobody has asked for lately waits for each of them.
  struct alignas(32) Node {
    std::uint32_t label = 0;  ///< into labels: what follows the byte by which the parent chose this node
    std::uint32_t label_bytes = 0;
    std::uint32_t first_child = 0;  ///< into nodes and branches; children are in the order of their bytes
    std::uint32_t child_count = 0;
    std::uint32_t first_route = 0;     ///< into routes, first the open ones; where there is one in all: itself
    std::uint32_t open_count = 0;      ///< routes that this text or a longer one may meet
    std::uint32_t closed_count = 0;    ///< routes that no longer text meets
    std::uint32_t open_above = kNone;  ///< the nearest node above with open routes
  };
  std::vector<Node> nodes;
  std::string branches;  ///< of each node, the byte by which its parent chooses it
  std::string labels;
  std::vector<std::uint32_t> routes;  ///< indices into VirtualHost::routes; both lists of a node ascend
};

struct RouteIndex {
  // What a candidate is still to be asked. A route with all its conditions fills several lines of the cache, and most have none
  // but that of the path, which their place in a tree has met.
  static constexpr std::uint32_t kMatches = PathTree::kNone;
  static constexpr std::uint32_t kAskRoute = PathTree::kNone - 1;

  PathTree as_written;  ///< of conditions that heed the case of letters
  PathTree lower_case;  ///< of all others
  /// Of each route: kMatches, kAskRoute, or the number of bytes behind which the path ends or goes on with "/".
  std::vector<std::uint32_t> rests;

  [[nodiscard]] bool empty() const { return as_written.nodes.empty() && lower_case.nodes.empty(); }
};

}  // namespace millrace::config
