#include "dataplane/proxy/policy/route_candidates.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {
namespace {

using config::PathTree;

// Of an only route, the node has the index itself: a line of memory less.
const std::uint32_t* routes_of(const PathTree& tree, const PathTree::Node& node) {
  return node.open_count + node.closed_count == 1 ? &node.first_route : tree.routes.data() + node.first_route;
}

std::span<const std::uint32_t> open_routes(const PathTree& tree, const PathTree::Node& node) {
  return {routes_of(tree, node), node.open_count};
}

std::span<const std::uint32_t> closed_routes(const PathTree& tree, const PathTree::Node& node) {
  return {routes_of(tree, node) + node.open_count, node.closed_count};
}

}  // namespace

template <typename Fold>
RouteCandidates::End RouteCandidates::walk(const PathTree& tree, std::string_view path, Fold fold) {
  if (tree.nodes.empty()) return {};
  End end{.tree = &tree, .closed = {}};
  std::uint32_t at = 0;
  while (true) {
    const PathTree::Node& node = tree.nodes[at];
    if (node.open_count > 0) end.open = at;
    if (path.empty()) {
      end.closed = closed_routes(tree, node);
      return end;
    }
    const char* branches = tree.branches.data() + node.first_child;
    const auto* branch = static_cast<const char*>(std::memchr(branches, fold(path.front()), node.child_count));
    if (branch == nullptr) return end;
    at = node.first_child + static_cast<std::uint32_t>(branch - branches);
    const PathTree::Node& child = tree.nodes[at];
    path.remove_prefix(1);
    const std::string_view label(tree.labels.data() + child.label, child.label_bytes);
    if (path.size() < label.size() || !std::ranges::equal(path.substr(0, label.size()), label, {}, fold)) return end;
    path.remove_prefix(label.size());
  }
}

RouteCandidates::RouteCandidates(const config::RouteIndex& index, std::string_view path)
    : ends_{walk(index.as_written, path, std::identity()), walk(index.lower_case, path, to_lower)} {}

// What is left of each list, where anything is.
template <typename Visitor>
void RouteCandidates::each_list(Visitor&& visit) const {
  const auto visit_rest = [&](List list) {
    if (list.empty() || list.back() < from_) return;
    visit(List(std::ranges::lower_bound(list, from_), list.end()));
  };
  for (const End& end : ends_) {
    visit_rest(end.closed);
    for (std::uint32_t at = end.open; at != PathTree::kNone; at = end.tree->nodes[at].open_above) {
      visit_rest(open_routes(*end.tree, end.tree->nodes[at]));
    }
  }
}

// The list whose turn it is, up to where another one's begins.
std::span<const std::uint32_t> RouteCandidates::next() {
  List first;
  std::uint32_t limit = PathTree::kNone;
  each_list([&](List list) {
    if (!first.empty() && first.front() < list.front()) {
      limit = std::min(limit, list.front());
      return;
    }
    if (!first.empty()) limit = std::min(limit, first.front());
    first = list;
  });
  if (first.empty()) return first;
  first = {first.begin(), std::ranges::lower_bound(first, limit)};
  from_ = first.back() + 1;
  return first;
}

}  // namespace millrace::proxy
