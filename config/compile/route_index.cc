// The trees grow level by level over the sorted texts: a node is a range of texts that are alike up to its depth.
#include "config/compile/route_index.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

#include "config/compile/regex_compiler.h"

namespace millrace::config {
namespace {

struct Entry {
  std::string text;
  std::uint32_t route = 0;
  bool closed = false;  ///< no longer text meets the route
};

/// Entries [begin, end) share `depth` bytes, for which `node` stands.
struct Range {
  std::uint32_t node = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t depth = 0;
  std::uint32_t open_above = PathTree::kNone;
};

class TreeBuilder {
 public:
  explicit TreeBuilder(std::vector<Entry> entries) : entries_(std::move(entries)) {
    std::ranges::sort(entries_, {}, [](const Entry& entry) { return std::tie(entry.text, entry.closed, entry.route); });
  }

  PathTree build() && {
    if (entries_.empty()) return {};
    add_node('\0', 0, 0);
    waiting_.push_back({.node = 0, .begin = 0, .end = entries_.size()});
    for (std::size_t next = 0; next < waiting_.size(); ++next) grow(Range(waiting_[next]));
    return std::move(tree_);
  }

 private:
  /// The routes of the range's own text, then a child for each byte that follows it.
  void grow(Range range) {
    PathTree::Node& node = tree_.nodes[range.node];
    node.first_route = static_cast<std::uint32_t>(tree_.routes.size());
    for (; range.begin < range.end && entries_[range.begin].text.size() == range.depth; ++range.begin) {
      tree_.routes.push_back(entries_[range.begin].route);
      ++(entries_[range.begin].closed ? node.closed_count : node.open_count);
    }
    if (node.open_count + node.closed_count == 1) {
      node.first_route = tree_.routes.back();
      tree_.routes.pop_back();
    }
    node.open_above = range.open_above;
    if (node.open_count > 0) range.open_above = range.node;
    node.first_child = static_cast<std::uint32_t>(tree_.nodes.size());
    while (range.begin < range.end) range.begin = add_child(range);
  }

  /// Of the entries that go on with the same byte as the first. Returns where the others begin.
  std::size_t add_child(const Range& parent) {
    const std::string& first = entries_[parent.begin].text;
    const char byte = first[parent.depth];
    std::size_t end = parent.begin;
    while (end < parent.end && entries_[end].text[parent.depth] == byte) ++end;
    // Sorted: what the first and the last share, all do.
    const std::string& last = entries_[end - 1].text;
    const auto shared = static_cast<std::size_t>(std::ranges::mismatch(first, last).in1 - first.begin());
    ++tree_.nodes[parent.node].child_count;
    const std::uint32_t node = add_node(byte, tree_.labels.size(), shared - parent.depth - 1);
    tree_.labels.append(first, parent.depth + 1, shared - parent.depth - 1);
    waiting_.push_back({node, parent.begin, end, shared, parent.open_above});
    return end;
  }

  std::uint32_t add_node(char branch, std::size_t label, std::size_t label_bytes) {
    PathTree::Node& node = tree_.nodes.emplace_back();
    tree_.branches.push_back(branch);
    node.label = static_cast<std::uint32_t>(label);
    node.label_bytes = static_cast<std::uint32_t>(label_bytes);
    return static_cast<std::uint32_t>(tree_.nodes.size() - 1);
  }

  std::vector<Entry> entries_;
  std::vector<Range> waiting_;
  PathTree tree_;
};

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool asks_for_path_only(const RouteMatch& match) {
  return match.headers.empty() && match.query_parameters.empty() && !match.runtime_fraction && !match.grpc &&
         !match.certificate_presented && !match.certificate_validated && match.metadata.empty();
}

std::uint32_t rest_of(const Route& route) {
  if (!asks_for_path_only(route.match)) return RouteIndex::kAskRoute;
  const PathMatcher& path = route.match.path;
  switch (path.kind) {
    case PathMatcher::Kind::kPrefix:
    case PathMatcher::Kind::kExact: return RouteIndex::kMatches;
    case PathMatcher::Kind::kPathSeparatedPrefix:
      return static_cast<std::uint32_t>(std::min<std::size_t>(path.text.size(), RouteIndex::kAskRoute));
    case PathMatcher::Kind::kRegex:
    case PathMatcher::Kind::kConnect: break;
  }
  return RouteIndex::kAskRoute;
}

}  // namespace

RouteIndex index_routes(const std::vector<Route>& routes) {
  if (routes.size() <= kRoutesWithoutIndex) return {};
  std::vector<Entry> as_written;
  std::vector<Entry> lower_case;
  for (std::size_t i = 0; i < routes.size(); ++i) {
    const PathMatcher& path = routes[i].match.path;
    const auto route = static_cast<std::uint32_t>(i);
    const bool closed = path.kind == PathMatcher::Kind::kExact;
    if (path.kind == PathMatcher::Kind::kConnect) continue;  // no path leads there
    if (path.kind == PathMatcher::Kind::kRegex) {
      as_written.push_back({literal_prefix(path.regex), route, closed});
    } else if (path.case_sensitive) {
      as_written.push_back({path.text, route, closed});
    } else {
      lower_case.push_back({lower(path.text), route, closed});
    }
  }
  std::vector<std::uint32_t> rests(routes.size());
  std::ranges::transform(routes, rests.begin(), rest_of);
  return {TreeBuilder(std::move(as_written)).build(), TreeBuilder(std::move(lower_case)).build(), std::move(rests)};
}

}  // namespace millrace::config
