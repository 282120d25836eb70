#include "dataplane/proxy/policy/rate_limit.h"

#include <algorithm>
#include <array>
#include <compare>
#include <optional>

#include "dataplane/proxy/policy/field_tools.h"
#include "dataplane/proxy/policy/route_matcher.h"

namespace millrace::proxy {
namespace {

using Action = config::RateLimitAction;

/// Null data(): no memory.
std::string_view address_text(const IpAddress& ip, Arena& arena) {
  std::array<char, IpAddress::kMaxText> text;
  return arena.copy({text.data(), ip.format_to(text)});
}

std::string_view network_text(const Action& action, const IpAddress& ip, Arena& arena) {
  const IpPrefix network{ip, ip.is_v4() ? action.v4_bits : action.v6_bits};
  std::array<char, IpAddress::kMaxText> text;
  std::array<char, kMaxDecimalBytes> length;
  const std::string_view address(text.data(), ip.masked(network.bits()).format_to(text));
  return arena.concat({address, "/", write_decimal(network.length, length)});
}

bool all_match(const Action& action, const RateLimitSubject& subject) {
  return std::ranges::all_of(action.headers, [&](const auto& m) { return matches(m, subject.head, subject.worker); }) &&
         std::ranges::all_of(action.query_parameters,
                             [&](const auto& m) { return matches(m, subject.head.path, subject.worker); });
}

enum class Found : std::uint8_t { kValue, kNothing, kNoMemory };

Found find_value(const Action& action, const RateLimitSubject& subject, Arena& arena, std::string_view& value) {
  using Kind = Action::Kind;
  switch (action.kind) {
    case Kind::kConstant: value = action.value; return Found::kValue;
    case Kind::kDestinationCluster: value = subject.cluster; return value.empty() ? Found::kNothing : Found::kValue;
    case Kind::kRemoteAddress: value = address_text(subject.client, arena); break;
    case Kind::kMaskedRemoteAddress: value = network_text(action, subject.client, arena); break;
    case Kind::kRequestHeader:
      value = request_value(subject.head, action.header);
      return value.data() == nullptr ? Found::kNothing : Found::kValue;
    case Kind::kHeaderMatch:
    case Kind::kQueryMatch:
      value = action.value;
      return all_match(action, subject) == action.expect_match ? Found::kValue : Found::kNothing;
  }
  return value.data() == nullptr ? Found::kNoMemory : Found::kValue;
}

std::strong_ordering compare(const config::RateLimitDescriptor& a, std::span<const RateLimitEntry> b) {
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (const auto order = std::string_view(a[i].first) <=> b[i].key; order != 0) return order;
    if (const auto order = std::string_view(a[i].second) <=> b[i].value; order != 0) return order;
  }
  return a.size() <=> b.size();
}

}  // namespace

bool describe(const config::RateLimit& limit, const RateLimitSubject& subject, Arena& arena,
              std::span<const RateLimitEntry>& out) {
  out = {};
  const std::span<RateLimitEntry> entries = arena.make_array<RateLimitEntry>(limit.actions.size());
  if (entries.empty()) return limit.actions.empty();
  std::size_t count = 0;
  for (const Action& action : limit.actions) {
    std::string_view value;
    const Found found = find_value(action, subject, arena, value);
    if (found == Found::kNoMemory) return false;
    if (found == Found::kNothing && !action.skip_if_absent) return true;
    if (found == Found::kValue) entries[count++] = {action.key, value};
  }
  out = entries.first(count);
  return true;
}

const config::LocalRateLimit::Descriptor* find_descriptor(std::span<const config::LocalRateLimit::Descriptor> descriptors,
                                                          std::span<const RateLimitEntry> entries) {
  const auto at =
      std::ranges::partition_point(descriptors, [&](const auto& descriptor) { return compare(descriptor.entries, entries) < 0; });
  return at != descriptors.end() && compare(at->entries, entries) == 0 ? &*at : nullptr;
}

}  // namespace millrace::proxy
