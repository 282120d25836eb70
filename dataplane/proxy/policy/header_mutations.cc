#include "dataplane/proxy/policy/header_mutations.h"

#include <algorithm>
#include <array>
#include <span>

namespace millrace::proxy {
namespace {

using Action = config::HeaderMutation::Action;

struct Evaluated {
  const config::HeaderMutation* mutation;
  std::string_view value;
  bool overwrite;
};

bool is_overwrite(Action action) { return action == Action::kOverwriteIfExists || action == Action::kOverwriteIfExistsOrAdd; }

bool applies(const config::HeaderMutation& mutation, const http::HeaderMap& headers, std::string_view value) {
  if (value.empty() && !mutation.keep_empty_value) return false;
  if (mutation.action == Action::kAddIfAbsent) return headers.find(mutation.name) == nullptr;
  if (mutation.action == Action::kOverwriteIfExists) return headers.find(mutation.name) != nullptr;
  return true;
}

// The levels' mutations in the order of application; null where there is none.
std::array<const config::HeaderMutations*, 4> in_order(const MutationLevels& levels) {
  std::array<const config::HeaderMutations*, 4> order = {levels.cluster == nullptr ? nullptr : &levels.cluster->headers,
                                                         levels.route == nullptr ? nullptr : &levels.route->headers,
                                                         levels.virtual_host == nullptr ? nullptr : &levels.virtual_host->headers,
                                                         levels.table == nullptr ? nullptr : &levels.table->headers};
  if (levels.table != nullptr && levels.table->most_specific_header_mutations_wins) std::ranges::reverse(order);
  return order;
}

// One level.
bool apply(std::span<const config::HeaderMutation> add, std::span<const std::string> remove, http::HeaderMap& headers,
           const StreamInfo& info, const FormatEnvironment& environment) {
  for (const std::string& name : remove) headers.remove(name);
  return apply_mutations(add, headers, info, environment);
}

}  // namespace

// Every value is evaluated before any is written, so that the order of the entries does not change what they see.
bool apply_mutations(std::span<const config::HeaderMutation> mutations, http::HeaderMap& headers, const StreamInfo& info,
                     const FormatEnvironment& environment) {
  if (mutations.empty()) return true;
  const std::span<Evaluated> all = headers.arena().make_array<Evaluated>(mutations.size());
  if (all.empty()) return false;
  std::size_t count = 0;
  for (const config::HeaderMutation& mutation : mutations) {
    const std::string_view value = evaluate_header_value(mutation.value, info, environment, headers.arena());
    if (value.data() == nullptr) return false;
    if (applies(mutation, headers, value)) all[count++] = {&mutation, value, is_overwrite(mutation.action)};
  }
  const auto chosen = all.first(count);
  return std::ranges::all_of(chosen,
                             [&](const Evaluated& e) { return !e.overwrite || headers.set_copy(e.mutation->name, e.value); }) &&
         std::ranges::all_of(chosen,
                             [&](const Evaluated& e) { return e.overwrite || headers.add_copy(e.mutation->name, e.value); });
}

bool apply_request_mutations(const MutationLevels& levels, http::RequestHead& head, const StreamInfo& info,
                             const FormatEnvironment& environment) {
  return std::ranges::all_of(in_order(levels), [&](const config::HeaderMutations* level) {
    return level == nullptr || apply(level->request_add, level->request_remove, head.headers, info, environment);
  });
}

bool apply_response_mutations(const MutationLevels& levels, http::ResponseHead& head, const StreamInfo& info,
                              const FormatEnvironment& environment) {
  return std::ranges::all_of(in_order(levels), [&](const config::HeaderMutations* level) {
    return level == nullptr || apply(level->response_add, level->response_remove, head.headers, info, environment);
  });
}

}  // namespace millrace::proxy
