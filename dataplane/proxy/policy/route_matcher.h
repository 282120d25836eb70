// Which virtual host and which route a request belongs to, and which cluster of a weighted route: envoy.config.route.v3.
// Pure: reads the request head, never changes it. Regexes run in the worker's own RE2 programs (RE2's bounded DFA cache is the
// one thing here that may allocate).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "config/model/route.h"
#include "dataplane/base/rng.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/policy/metadata.h"

namespace millrace::tls {
struct SessionFacts;
}

namespace millrace::proxy {

struct RouteContext {
  std::uint32_t worker = 0;                ///< which program of each config::Regex is ours
  Rng& rng;                                ///< decides runtime_fraction
  const tls::SessionFacts* tls = nullptr;  ///< the client's session; null: plain text
  bool ignore_path_parameters = false;     ///< the table's
  const Metadata* metadata = nullptr;      ///< what filters have left; null: nothing
};

/// The virtual host of an authority ("host" or "host:port", any case): exact domain, then the longest suffix wildcard
/// ("*.example.com"), then the longest prefix wildcard ("example.*"), then "*". Null: none, answer 404.
[[nodiscard]] const config::VirtualHost* find_virtual_host(const config::RouteTable& table, std::string_view authority);

/// The first route of `host` whose conditions all hold; null: none, answer 404.
[[nodiscard]] const config::Route* find_route(const config::VirtualHost& host, const http::RequestHead& head,
                                              const RouteContext& context);

/// One of the action's clusters, by weight; null when there is none or all weights are 0.
[[nodiscard]] const config::WeightedCluster* choose_cluster(const config::ForwardAction& action, const http::RequestHead& head,
                                                            Rng& rng);
/// The name of the cluster, which may be for the request to say; empty: it does not.
[[nodiscard]] std::string_view cluster_name(const config::WeightedCluster& cluster, const http::RequestHead& head);

/// All that a route asks of a request.
[[nodiscard]] bool matches(const config::RouteMatch& match, const http::RequestHead& head, const RouteContext& context);

/// Single conditions, for filters that match too.
[[nodiscard]] bool matches(const config::StringMatcher& matcher, std::string_view text, std::uint32_t worker);
[[nodiscard]] bool matches(const config::HeaderMatcher& matcher, const http::RequestHead& head, std::uint32_t worker);
/// `value`: of the field that the matcher names; null data(): not there.
[[nodiscard]] bool matches(const config::HeaderMatcher& matcher, std::string_view value, std::uint32_t worker);
[[nodiscard]] bool matches(const config::QueryParameterMatcher& matcher, std::string_view path, std::uint32_t worker);
[[nodiscard]] bool matches(const config::PathMatcher& matcher, std::string_view path, std::uint32_t worker);

/// `path` without query and fragment.
[[nodiscard]] std::string_view without_query(std::string_view path);

/// The value of the first query parameter of that name, as it is written; nothing: there is none.
[[nodiscard]] std::optional<std::string_view> first_query_parameter(std::string_view path, std::string_view name);

/// By its content-type.
[[nodiscard]] bool is_grpc(const http::RequestHead& head);

/// The value of a request field by lower-case name, pseudo fields (":method", ":path", ":authority", "host", ":scheme")
/// included; several fields joined by ",". Null data(): not there.
[[nodiscard]] std::string_view request_value(const http::RequestHead& head, std::string_view name);
/// The same, of several fields the first.
[[nodiscard]] std::string_view first_request_value(const http::RequestHead& head, std::string_view name);

}  // namespace millrace::proxy
