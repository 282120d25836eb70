#include "dataplane/proxy/policy/internal_redirect.h"

#include <algorithm>

#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {
namespace {

// Wider than RFC 3986, as our codecs are, but nothing that ends a request line or a field.
bool is_target_char(char c) { return c > 0x20 && c < 0x7f; }

// Names and addresses with a port; whatever claims a user is refused.
bool is_authority_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view("-._~:[]").contains(c);
}

std::uint32_t count(const FollowedRedirect* followed) {
  std::uint32_t many = 0;
  for (; followed != nullptr; followed = followed->before) ++many;
  return many;
}

}  // namespace

std::optional<RedirectTarget> parse_redirect_target(std::string_view location) {
  location = location.substr(0, location.find('#'));
  const std::size_t colon = location.find("://");
  if (colon == std::string_view::npos || !std::ranges::all_of(location, is_target_char)) return std::nullopt;
  RedirectTarget target;
  target.scheme = canonical_scheme(location.substr(0, colon));
  const std::string_view rest = location.substr(colon + 3);
  const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
  target.authority = rest.substr(0, end);
  target.path = rest.substr(end);
  target.needs_slash = !target.path.starts_with('/');
  if (target.scheme.empty() || target.authority.empty() || !std::ranges::all_of(target.authority, is_authority_char))
    return std::nullopt;
  return target;
}

bool is_internal_redirect(const config::InternalRedirectPolicy& policy, std::uint16_t status) {
  return std::ranges::find(policy.statuses, status) != policy.statuses.end();
}

bool may_follow(const config::InternalRedirectPolicy& policy, const FollowedRedirect* followed, std::string_view scheme,
                const RedirectTarget& target) {
  if (count(followed) >= policy.most) return false;
  if (target.scheme == scheme) return true;
  return policy.allow_cross_scheme && !(policy.forbid_http_to_https && target.scheme == "https");
}

bool may_enter(const config::InternalRedirectPolicy& policy, const FollowedRedirect* followed, const config::Route& from,
               const config::Route& to) {
  if (policy.only_allowed_routes && std::ranges::find(policy.allowed_routes, to.name) == policy.allowed_routes.end())
    return false;
  for (; policy.forbid_previous_routes && followed != nullptr; followed = followed->before) {
    if (followed->from == from.name && followed->to == to.name) return false;
  }
  return true;
}

bool copy_redirect_fields(const config::InternalRedirectPolicy& policy, const http::ResponseHead& redirect,
                          http::RequestHead& head) {
  for (const std::string& name : policy.copied_headers) {
    head.headers.remove(name);
    for (const http::HeaderField& field : redirect.headers.fields()) {
      if (field.name == name && !head.headers.add_copy(field.name, field.value)) return false;
    }
  }
  return true;
}

}  // namespace millrace::proxy
