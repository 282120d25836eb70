#include "dataplane/proxy/policy/route_candidates.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>

#include "dataplane/base/byte_block.h"
#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {
namespace {

using config::Candidate;
using config::PathTree;

// All at once, most often: where a loop leaves off, nobody can foresee.
std::uint32_t child_of(const PathTree& tree, const PathTree::Node& node, char branch) {
  for (std::uint32_t first = 0; first < node.child_count; first += ByteBlock::kBytes) {
    const std::uint32_t at = node.first_child + first;
    const std::uint32_t hits = ByteBlock(tree.branches.data() + at).equal(branch) & ByteBlock::first(node.child_count - first);
    if (hits != 0) return at + static_cast<std::uint32_t>(std::countr_zero(hits));
  }
  return PathTree::kNone;
}

// Of the label of `node`. A short one is compared as one word, where nothing has to be foreseen.
template <typename Fold>
bool begins_with(std::string_view path, const PathTree& tree, const PathTree::Node& node, Fold fold) {
  constexpr std::size_t kWord = sizeof(node.label);
  if (path.size() < node.label_bytes) return false;
  if (std::is_same_v<Fold, std::identity> && node.label_bytes <= kWord && path.size() >= kWord) {
    std::uint64_t word = 0;
    std::memcpy(&word, path.data(), kWord);
    static_assert(std::endian::native == std::endian::little);
    return node.label_bytes == 0 || (word ^ node.label) << (8 * (kWord - node.label_bytes)) == 0;
  }
  return std::ranges::equal(path.substr(0, node.label_bytes), tree.label_of(node), {}, fold);
}

}  // namespace

template <typename Fold>
RouteCandidates::End RouteCandidates::walk(const PathTree& tree, std::string_view path, Fold fold) {
  if (tree.nodes.empty()) return {};
  const PathTree::Node* node = &tree.nodes.front();
  while (!path.empty()) {
    const std::uint32_t at = child_of(tree, *node, fold(path.front()));
    if (at == PathTree::kNone) break;
    const PathTree::Node& child = tree.nodes[at];
    if (!begins_with(path.substr(1), tree, child, fold)) break;
    path.remove_prefix(1 + child.label_bytes);
    node = &child;
  }
  const List here = path.empty() ? tree.candidates_of(*node) : tree.open_candidates_of(*node);
  return {.tree = &tree, .here = here, .above = node->open_above};
}

RouteCandidates::RouteCandidates(const config::RouteIndex& index, std::string_view path)
    : ends_{walk(index.as_written, path, std::identity()), walk(index.lower_case, path, to_lower)} {}

// What is left of each list, where anything is.
template <typename Visitor>
void RouteCandidates::each_list(Visitor&& visit) const {
  const auto visit_rest = [&](List list) {
    if (list.empty() || list.back().route() < from_) return;
    visit(List(std::ranges::lower_bound(list, from_, {}, &Candidate::route), list.end()));
  };
  for (const End& end : ends_) {
    visit_rest(end.here);
    for (std::uint32_t at = end.above; at != PathTree::kNone; at = end.tree->nodes[at].open_above) {
      visit_rest(end.tree->open_candidates_of(end.tree->nodes[at]));
    }
  }
}

// The list whose turn it is, up to where another one's begins.
std::span<const Candidate> RouteCandidates::next() {
  List first;
  std::uint32_t limit = PathTree::kNone;
  each_list([&](List list) {
    if (!first.empty() && first.front() < list.front()) {
      limit = std::min(limit, list.front().route());
      return;
    }
    if (!first.empty()) limit = std::min(limit, first.front().route());
    first = list;
  });
  if (first.empty()) return first;
  first = {first.begin(), std::ranges::lower_bound(first, limit, {}, &Candidate::route)};
  from_ = first.back().route() + 1;
  return first;
}

}  // namespace millrace::proxy
