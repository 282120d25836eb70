// Redirects of upstreams that the gateway follows itself: what they say, and whether they are followed. Pure.
// Envoy: RouteAction.internal_redirect_policy, "Internal redirects" in "HTTP connection management".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "config/model/internal_redirect.h"
#include "config/model/route.h"
#include "dataplane/http/message.h"

namespace millrace::proxy {

/// Where a request is sent to. The views are into the field's value, or constants.
struct RedirectTarget {
  std::string_view scheme;  ///< "http" or "https"
  std::string_view authority;
  std::string_view path;     ///< as it is written, with the query, without the fragment
  bool needs_slash = false;  ///< before `path`
};

/// A Location (RFC 9110 10.2.2) that is a whole http or https URL, of which a request could be made; nothing: it is not.
[[nodiscard]] std::optional<RedirectTarget> parse_redirect_target(std::string_view location);

/// What a request has followed until now: the last one first.
struct FollowedRedirect {
  std::string_view from;  ///< the routes' names
  std::string_view to;
  const FollowedRedirect* before;
};

/// A redirect of that status is one that the policy speaks of.
[[nodiscard]] bool is_internal_redirect(const config::InternalRedirectPolicy& policy, std::uint16_t status);
/// Before the route of the target is known. `scheme`: of the request so far.
[[nodiscard]] bool may_follow(const config::InternalRedirectPolicy& policy, const FollowedRedirect* followed,
                              std::string_view scheme, const RedirectTarget& target);
/// The policy's predicates.
[[nodiscard]] bool may_enter(const config::InternalRedirectPolicy& policy, const FollowedRedirect* followed,
                             const config::Route& from, const config::Route& to);

/// Sets the fields that the policy copies from the redirect, and removes those that it has not. False: out of memory.
[[nodiscard]] bool copy_redirect_fields(const config::InternalRedirectPolicy& policy, const http::ResponseHead& redirect,
                                        http::RequestHead& head);

}  // namespace millrace::proxy
