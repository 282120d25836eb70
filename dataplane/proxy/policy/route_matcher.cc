// Conditions in the order of their cost: path, fields, query, chance.
#include "dataplane/proxy/policy/route_matcher.h"

#include <re2/re2.h>

#include <algorithm>
#include <charconv>

#include "dataplane/proxy/policy/field_tools.h"
#include "dataplane/proxy/policy/route_candidates.h"
#include "tls/handshake.h"

namespace millrace::proxy {
namespace {

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

bool is_pseudo(std::string_view name) { return name.starts_with(':') || name == "host"; }

// Null data(): not there.
std::string_view pseudo_value(const http::RequestHead& head, std::string_view name) {
  const auto value = name == ":path"                          ? head.path
                     : name == ":method"                      ? head.method
                     : name == ":scheme"                      ? head.scheme
                     : name == ":authority" || name == "host" ? head.authority
                                                              : std::string_view();
  return value.empty() ? std::string_view() : value;
}

// Behind a prefix that `path` begins with.
bool ends_segment(std::string_view path, std::size_t prefix_bytes) {
  return path.size() == prefix_bytes || path[prefix_bytes] == '/';
}

// The number by which the request itself asks for one of the weighted clusters.
std::optional<std::uint64_t> chosen_value(const config::ForwardAction& action, const http::RequestHead& head) {
  if (action.random_value_header.empty()) return std::nullopt;
  const std::string_view text = request_value(head, action.random_value_header);
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

// `path`: without its query.
bool matches_path(const config::PathMatcher& matcher, std::string_view path, std::uint32_t worker) {
  using Kind = config::PathMatcher::Kind;
  const bool ignore_case = !matcher.case_sensitive;
  switch (matcher.kind) {
    case Kind::kPrefix: return starts_with(path, matcher.text, ignore_case);
    case Kind::kExact: return equals(path, matcher.text, ignore_case);
    case Kind::kPathSeparatedPrefix:
      return starts_with(path, matcher.text, ignore_case) && ends_segment(path, matcher.text.size());
    case Kind::kRegex: return matches_fully(matcher.regex, path, worker);
    case Kind::kConnect: return false;  // a matter of the method
  }
  return false;
}

bool matches_metadata(const config::RouteMatch& match, const RouteContext& context) {
  const Metadata nothing;
  const Metadata& metadata = context.metadata == nullptr ? nothing : *context.metadata;
  return std::ranges::all_of(match.metadata, [&](const auto& matcher) { return matches(matcher, metadata, context.worker); });
}

// All conditions but the path's.
bool matches_otherwise(const config::RouteMatch& match, const http::RequestHead& head, const RouteContext& context) {
  const auto field_matches = [&](const config::HeaderMatcher& m) { return matches(m, head, context.worker); };
  const auto parameter_matches = [&](const config::QueryParameterMatcher& m) { return matches(m, head.path, context.worker); };
  const bool presented = context.tls != nullptr && context.tls->peer != nullptr;
  const bool validated = presented && context.tls->peer_verified;
  return std::ranges::all_of(match.headers, field_matches) && std::ranges::all_of(match.query_parameters, parameter_matches) &&
         (!match.grpc || is_grpc(head)) && match.certificate_presented.value_or(presented) == presented &&
         match.certificate_validated.value_or(validated) == validated && matches_metadata(match, context) &&
         (!match.runtime_fraction ||
          context.rng.chance(match.runtime_fraction->numerator, std::max(match.runtime_fraction->denominator, 1u)));
}

// RFC 9110 9.3.6: the target of CONNECT is no path.
const config::Route* find_connect_route(const config::VirtualHost& host, const http::RequestHead& head,
                                        const RouteContext& context) {
  const auto found = std::ranges::find_if(host.routes, [&](const config::Route& route) {
    return route.match.path.kind == config::PathMatcher::Kind::kConnect && matches_otherwise(route.match, head, context);
  });
  return found == host.routes.end() ? nullptr : &*found;
}

// As Envoy does, all behind the first ";" is left out, further segments included.
std::string_view path_to_match(std::string_view path, const RouteContext& context) {
  path = without_query(path);
  return context.ignore_path_parameters ? path.substr(0, path.find(';')) : path;
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
  if (head.path.empty()) return find_connect_route(host, head, context);
  const std::string_view path = path_to_match(head.path, context);
  if (host.index.empty()) {
    const auto found = std::ranges::find_if(host.routes, [&](const config::Route& route) {
      return matches_path(route.match.path, path, context.worker) && matches_otherwise(route.match, head, context);
    });
    return found == host.routes.end() ? nullptr : &*found;
  }
  // Texts were compared on the way through the index.
  const auto fits = [&](config::Candidate candidate) {
    if (!candidate.is_conditional()) return true;
    const config::RouteMatch& match = host.routes[candidate.route()].match;
    return (match.path.kind != config::PathMatcher::Kind::kRegex || matches_fully(match.path.regex, path, context.worker)) &&
           matches_otherwise(match, head, context);
  };
  RouteCandidates candidates(host.index, path);
  for (auto run = candidates.next(); !run.empty(); run = candidates.next()) {
    const auto found = std::ranges::find_if(run, fits);
    if (found != run.end()) return &host.routes[found->route()];
  }
  return nullptr;
}

bool matches(const config::RouteMatch& match, const http::RequestHead& head, const RouteContext& context) {
  const bool path_matches = head.path.empty() ? match.path.kind == config::PathMatcher::Kind::kConnect
                                              : matches_path(match.path, path_to_match(head.path, context), context.worker);
  return path_matches && matches_otherwise(match, head, context);
}

const config::WeightedCluster* choose_cluster(const config::ForwardAction& action, const http::RequestHead& head, Rng& rng) {
  if (action.clusters.size() == 1) return &action.clusters.front();
  if (action.total_weight == 0) return nullptr;
  // Weights sum to less than 2^33: the bias is below 2^-31.
  std::uint64_t at = chosen_value(action, head).value_or(rng.next()) % action.total_weight;
  for (const config::WeightedCluster& cluster : action.clusters) {
    if (at < cluster.weight) return &cluster;
    at -= cluster.weight;
  }
  return nullptr;
}

std::string_view cluster_name(const config::WeightedCluster& cluster, const http::RequestHead& head) {
  return cluster.name_header.empty() ? std::string_view(cluster.name) : first_request_value(head, cluster.name_header);
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
  const auto value = first_query_parameter(path, matcher.name);
  if (matcher.present_only) return value.has_value() == matcher.present;
  return value && matches(matcher.string, *value, worker);
}

std::optional<std::string_view> first_query_parameter(std::string_view path, std::string_view name) {
  path = path.substr(0, path.find('#'));
  std::size_t next = path.find('?');
  while (next != std::string_view::npos) {
    path.remove_prefix(next + 1);
    next = path.find('&');
    const std::string_view parameter = path.substr(0, next);
    const std::size_t equal = parameter.find('=');
    if (parameter.substr(0, equal) != name) continue;
    return equal == std::string_view::npos ? std::string_view("") : parameter.substr(equal + 1);
  }
  return std::nullopt;
}

bool matches(const config::PathMatcher& matcher, std::string_view path, std::uint32_t worker) {
  return matches_path(matcher, without_query(path), worker);
}

// Not find_first_of(), which is a call for each byte.
std::string_view without_query(std::string_view path) {
  const auto end = std::ranges::find_if(path, [](char c) { return c == '?' || c == '#'; });
  return path.substr(0, static_cast<std::size_t>(end - path.begin()));
}

bool is_grpc(const http::RequestHead& head) {
  constexpr std::string_view kGrpc = "application/grpc";
  const std::string_view type = head.headers.value("content-type");
  return type.starts_with(kGrpc) && (type.size() == kGrpc.size() || type[kGrpc.size()] == '+');
}

std::string_view request_value(const http::RequestHead& head, std::string_view name) {
  return is_pseudo(name) ? pseudo_value(head, name) : head.headers.joined_value(name);
}

std::string_view first_request_value(const http::RequestHead& head, std::string_view name) {
  return is_pseudo(name) ? pseudo_value(head, name) : head.headers.value(name);
}

}  // namespace millrace::proxy
