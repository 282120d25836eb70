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
  Candidate candidate;
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
    std::ranges::sort(entries_, {}, [](const Entry& entry) { return std::tie(entry.text, entry.candidate); });
  }

  PathTree build() && {
    if (entries_.empty()) return {};
    add_node('\0', {});
    waiting_.push_back({.node = 0, .begin = 0, .end = entries_.size()});
    while (!waiting_.empty()) {
      const Range range = waiting_.back();
      waiting_.pop_back();
      grow(range);
    }
    tree_.branches.append(PathTree::kBranchPadding, '\0');
    tree_.nodes.shrink_to_fit();
    tree_.branches.shrink_to_fit();
    tree_.labels.shrink_to_fit();
    tree_.candidates.shrink_to_fit();
    return std::move(tree_);
  }

 private:
  /// The routes of the range's own text, then a child for each byte that follows it.
  void grow(Range range) {
    add_candidates(range);
    PathTree::Node& node = tree_.nodes[range.node];
    node.open_above = range.open_above;
    if (node.open_count > 0) range.open_above = range.node;
    node.first_child = static_cast<std::uint32_t>(tree_.nodes.size());
    const std::size_t waited = waiting_.size();
    while (range.begin < range.end) range.begin = add_child(range);
    std::ranges::reverse(waiting_.begin() + static_cast<std::ptrdiff_t>(waited), waiting_.end());
  }

  /// Of the range's own text, whose entries leave the range.
  void add_candidates(Range& range) {
    PathTree::Node& node = tree_.nodes[range.node];
    std::vector<Candidate>& out = tree_.candidates;
    const auto first = static_cast<std::uint32_t>(out.size());
    const std::size_t begin = range.begin;
    for (; range.begin < range.end && entries_[range.begin].text.size() == range.depth; ++range.begin) {
      out.push_back(entries_[range.begin].candidate);
      ++node.count;
      if (!entries_[range.begin].closed) ++node.open_count;
    }
    if (node.count == 1) {
      node.only = out.back();
      out.pop_back();
      return;
    }
    node.first = first;
    if (node.open_count == node.count) return;
    for (std::size_t at = begin; at < range.begin; ++at) {
      if (!entries_[at].closed) out.push_back(entries_[at].candidate);
    }
  }

  /// Of the entries that go on with the same byte as the first. Returns where the others begin.
  std::size_t add_child(const Range& parent) {
    const std::string_view first = entries_[parent.begin].text;
    const char byte = first[parent.depth];
    std::size_t end = parent.begin;
    while (end < parent.end && entries_[end].text[parent.depth] == byte) ++end;
    // Sorted: what the first and the last share, all do.
    const std::string_view last = entries_[end - 1].text;
    const auto shared = static_cast<std::size_t>(std::ranges::mismatch(first, last).in1 - first.begin());
    const std::string_view label = first.substr(parent.depth + 1, std::min(shared - parent.depth - 1, PathTree::kLongestLabel));
    ++tree_.nodes[parent.node].child_count;
    waiting_.push_back({add_node(byte, label), parent.begin, end, parent.depth + 1 + label.size(), parent.open_above});
    return end;
  }

  std::uint32_t add_node(char branch, std::string_view label) {
    PathTree::Node& node = tree_.nodes.emplace_back();
    tree_.branches.push_back(branch);
    node.label_bytes = static_cast<std::uint16_t>(label.size());
    if (label.size() <= sizeof(node.label)) {
      std::ranges::copy(label, reinterpret_cast<char*>(&node.label));
    } else {
      node.label = tree_.labels.size();
      tree_.labels.append(label);
    }
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

/// What the paths begin with that `route` may meet, added to `out`: of none for one that is met by no path.
void add_entries(const Route& route, std::uint32_t index, std::vector<Entry>& out) {
  using Kind = PathMatcher::Kind;
  const PathMatcher& path = route.match.path;
  const Candidate candidate(index, !asks_for_path_only(route.match) || path.kind == Kind::kRegex);
  const std::string text = path.kind == Kind::kRegex ? literal_prefix(path.regex)
                           : path.case_sensitive     ? path.text
                                                     : lower(path.text);
  const bool closed = path.kind == Kind::kExact || path.kind == Kind::kPathSeparatedPrefix;
  if (path.kind != Kind::kConnect) out.push_back({text, candidate, closed});
  if (path.kind == Kind::kPathSeparatedPrefix) out.push_back({text + "/", candidate, false});
}

}  // namespace

RouteIndex index_routes(const std::vector<Route>& routes) {
  if (routes.size() <= kRoutesWithoutIndex) return {};
  std::vector<Entry> as_written;
  std::vector<Entry> lower_case;
  for (std::size_t i = 0; i < routes.size(); ++i) {
    const PathMatcher& path = routes[i].match.path;
    const bool heeds_case = path.case_sensitive || path.kind == PathMatcher::Kind::kRegex;
    add_entries(routes[i], static_cast<std::uint32_t>(i), heeds_case ? as_written : lower_case);
  }
  return {TreeBuilder(std::move(as_written)).build(), TreeBuilder(std::move(lower_case)).build()};
}

}  // namespace millrace::config
