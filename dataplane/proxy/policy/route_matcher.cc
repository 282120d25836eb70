// Conditions in the order of their cost: path, fields, query, chance.
#include "dataplane/proxy/policy/route_matcher.h"

#include <re2/re2.h>

#include <algorithm>
#include <charconv>

#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {
namespace {

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

// `lower` is in lower case already.
bool equals(std::string_view text, std::string_view lower, bool ignore_case) {
  return ignore_case ? equal_ignoring_case(text, lower) : text == lower;
}

bool starts_with(std::string_view text, std::string_view prefix, bool ignore_case) {
  return text.size() >= prefix.size() && equals(text.substr(0, prefix.size()), prefix, ignore_case);
}

bool contains(std::string_view text, std::string_view part, bool ignore_case) {
  if (!ignore_case) return text.find(part) != std::string_view::npos;
  return !std::ranges::search(text, part, {}, to_lower, to_lower).empty() || part.empty();
}

bool matches_fully(const config::Regex& regex, std::string_view text, std::uint32_t worker) {
  return worker < regex.programs.size() &&
         re2::RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *regex.programs[worker]);
}

// Wildcards stand longest first; one needs at least one character in the place of its star.
const std::uint32_t* find_wildcard(const std::vector<std::pair<std::size_t, config::RouteTable::ByText<std::uint32_t>>>& domains,
                                   std::string_view host, bool suffix) {
  for (const auto& [length, by_text] : domains) {
    if (length >= host.size()) continue;
    const auto at = by_text.find(suffix ? host.substr(host.size() - length) : host.substr(0, length));
    if (at != by_text.end()) return &at->second;
  }
  return nullptr;
}

bool in_range(const config::HeaderMatcher& matcher, std::string_view text) {
  std::int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size() && value >= matcher.range_start &&
         value < matcher.range_end;
}

}  // namespace

const config::VirtualHost* find_virtual_host(const config::RouteTable& table, std::string_view authority) {
  constexpr std::size_t kLongestHost = 1024;  // no domain is longer
  char lower[kLongestHost];
  if (table.ignore_port_in_host) authority = host_without_port(authority);
  const std::uint32_t* index = nullptr;
  if (authority.size() <= kLongestHost) {
    std::ranges::transform(authority, lower, to_lower);
    const std::string_view host(lower, authority.size());
    const auto exact = table.exact_domains.find(host);
    index = exact != table.exact_domains.end() ? &exact->second : find_wildcard(table.suffix_domains, host, true);
    if (index == nullptr) index = find_wildcard(table.prefix_domains, host, false);
  }
  if (index == nullptr && table.default_domain) index = &*table.default_domain;
  return index == nullptr ? nullptr : &table.virtual_hosts[*index];
}

const config::Route* find_route(const config::VirtualHost& host, const http::RequestHead& head, const RouteContext& context) {
  for (const config::Route& route : host.routes) {
    if (matches(route.match, head, context)) return &route;
  }
  return nullptr;
}

bool matches(const config::RouteMatch& match, const http::RequestHead& head, const RouteContext& context) {
  const auto field_matches = [&](const config::HeaderMatcher& m) { return matches(m, head, context.worker); };
  const auto parameter_matches = [&](const config::QueryParameterMatcher& m) { return matches(m, head.path, context.worker); };
  return matches(match.path, head.path, context.worker) && std::ranges::all_of(match.headers, field_matches) &&
         std::ranges::all_of(match.query_parameters, parameter_matches) &&
         (!match.runtime_fraction ||
          context.rng.chance(match.runtime_fraction->numerator, std::max(match.runtime_fraction->denominator, 1u)));
}

const config::WeightedCluster* choose_cluster(const config::ForwardAction& action, Rng& rng) {
  if (action.clusters.size() == 1) return &action.clusters.front();
  if (action.total_weight == 0) return nullptr;
  std::uint64_t at = rng.next() % action.total_weight;  // weights sum to less than 2^33: the bias is below 2^-31
  for (const config::WeightedCluster& cluster : action.clusters) {
    if (at < cluster.weight) return &cluster;
    at -= cluster.weight;
  }
  return nullptr;
}

bool matches(const config::StringMatcher& matcher, std::string_view text, std::uint32_t worker) {
  using Kind = config::StringMatcher::Kind;
  switch (matcher.kind) {
    case Kind::kExact: return equals(text, matcher.text, matcher.ignore_case);
    case Kind::kPrefix: return starts_with(text, matcher.text, matcher.ignore_case);
    case Kind::kSuffix:
      return text.size() >= matcher.text.size() &&
             equals(text.substr(text.size() - matcher.text.size()), matcher.text, matcher.ignore_case);
    case Kind::kContains: return contains(text, matcher.text, matcher.ignore_case);
    case Kind::kRegex: return matches_fully(matcher.regex, text, worker);
  }
  return false;
}

bool matches(const config::HeaderMatcher& matcher, const http::RequestHead& head, std::uint32_t worker) {
  return matches(matcher, request_value(head, matcher.name), worker);
}

bool matches(const config::HeaderMatcher& matcher, std::string_view value, std::uint32_t worker) {
  using Kind = config::HeaderMatcher::Kind;
  const bool there = value.data() != nullptr || matcher.treat_missing_as_empty;
  if (matcher.kind == Kind::kPresent) return (there == matcher.present) != matcher.invert;
  if (!there) return false;  // even when inverted: an absent field is neither equal nor different
  const bool holds = matcher.kind == Kind::kRange ? in_range(matcher, value) : matches(matcher.string, value, worker);
  return holds != matcher.invert;
}

bool matches(const config::QueryParameterMatcher& matcher, std::string_view path, std::uint32_t worker) {
  path = path.substr(0, path.find('#'));
  std::size_t next = path.find('?');
  while (next != std::string_view::npos) {
    path.remove_prefix(next + 1);
    next = path.find('&');
    const std::string_view parameter = path.substr(0, next);
    const std::size_t equal = parameter.find('=');
    if (parameter.substr(0, equal) != matcher.name) continue;
    // The first of that name decides.
    const std::string_view value = equal == std::string_view::npos ? std::string_view("") : parameter.substr(equal + 1);
    return matcher.present_only || matches(matcher.string, value, worker);
  }
  return false;
}

bool matches(const config::PathMatcher& matcher, std::string_view path, std::uint32_t worker) {
  using Kind = config::PathMatcher::Kind;
  path = without_query(path);
  const bool ignore_case = !matcher.case_sensitive;
  switch (matcher.kind) {
    case Kind::kPrefix: return starts_with(path, matcher.text, ignore_case);
    case Kind::kExact: return equals(path, matcher.text, ignore_case);
    case Kind::kPathSeparatedPrefix:
      return starts_with(path, matcher.text, ignore_case) &&
             (path.size() == matcher.text.size() || path[matcher.text.size()] == '/');
    case Kind::kRegex: return matches_fully(matcher.regex, path, worker);
  }
  return false;
}

std::string_view without_query(std::string_view path) { return path.substr(0, path.find_first_of("?#")); }

std::string_view request_value(const http::RequestHead& head, std::string_view name) {
  const auto pseudo = [](std::string_view value) { return value.empty() ? std::string_view() : value; };
  if (name.starts_with(':')) {
    if (name == ":authority") return pseudo(head.authority);
    if (name == ":path") return pseudo(head.path);
    if (name == ":method") return pseudo(head.method);
    if (name == ":scheme") return pseudo(head.scheme);
    return {};
  }
  if (name == "host") return pseudo(head.authority);
  return head.headers.joined_value(name);
}

}  // namespace millrace::proxy
