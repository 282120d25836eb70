// The routes of a virtual host that a path may meet, by their index: in the order of the virtual host, none missing, as few more
// as may be. No memory but its own: what a path leads to lies in the trees, linked from node to node.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "config/model/route_index.h"

namespace millrace::proxy {

class RouteCandidates {
 public:
  /// `path` without its query. `index` must outlive this.
  RouteCandidates(const config::RouteIndex& index, std::string_view path);

  /// The next ones, in the order of their routes; empty: there are no more.
  [[nodiscard]] std::span<const config::Candidate> next();

 private:
  using List = std::span<const config::Candidate>;

  /// Where the path ends in one of the trees.
  struct End {
    const config::PathTree* tree = nullptr;
    List here;                                      ///< of the last node on the way
    std::uint32_t above = config::PathTree::kNone;  ///< the nearest node above that has candidates for longer texts
  };
  template <typename Fold>
  static End walk(const config::PathTree& tree, std::string_view path, Fold fold);

  template <typename Visitor>
  void each_list(Visitor&& visit) const;

  std::array<End, 2> ends_;
  std::uint32_t from_ = 0;  // all below are given out
};

}  // namespace millrace::proxy
