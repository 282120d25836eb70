#include "control-agent/translate_internal_redirect.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "control-agent/translate_common.h"
#include "envoy/extensions/internal_redirect/allow_listed_routes/v3/allow_listed_routes_config.pb.h"
#include "envoy/extensions/internal_redirect/previous_routes/v3/previous_routes_config.pb.h"
#include "envoy/extensions/internal_redirect/safe_cross_scheme/v3/safe_cross_scheme_config.pb.h"

namespace millrace::agent {

namespace route = envoy::config::route::v3;
namespace redirect = envoy::extensions::internal_redirect;
using redirect::allow_listed_routes::v3::AllowListedRoutesConfig;
using redirect::previous_routes::v3::PreviousRoutesConfig;
using redirect::safe_cross_scheme::v3::SafeCrossSchemeConfig;

namespace {

constexpr std::array<std::uint32_t, 5> kStatuses{301, 302, 303, 307, 308};

void translate_statuses(const route::InternalRedirectPolicy& policy, const std::string& path, config::InternalRedirectPolicy& out,
                        Diagnostics& diagnostics) {
  if (policy.redirect_response_codes().empty()) return;
  out.statuses.clear();
  for (int i = 0; i < policy.redirect_response_codes_size(); ++i) {
    const std::uint32_t status = policy.redirect_response_codes(i);
    if (std::ranges::find(kStatuses, status) != kStatuses.end()) {
      out.statuses.push_back(static_cast<std::uint16_t>(status));
    } else {
      diagnostics.warning(index_path(path, static_cast<std::size_t>(i)),
                          std::to_string(status) + " is no redirect (301, 302, 303, 307 and 308 are): it is ignored");
    }
  }
}

// Other extensions are refused by the field table.
void translate_predicate(const envoy::config::core::v3::TypedExtensionConfig& predicate, const std::string& path,
                         config::InternalRedirectPolicy& out, Diagnostics& diagnostics) {
  const auto& config = predicate.typed_config();
  out.forbid_previous_routes |= config.Is<PreviousRoutesConfig>();
  out.forbid_http_to_https |= config.Is<SafeCrossSchemeConfig>();
  if (const auto allowed = unpack<AllowListedRoutesConfig>(config)) {
    // Each such predicate can reject: with several, what all of them allow is left.
    std::vector<std::string> names(allowed->allowed_route_names().begin(), allowed->allowed_route_names().end());
    if (out.only_allowed_routes)
      std::erase_if(names, [&](const std::string& name) {
        return std::ranges::find(out.allowed_routes, name) == out.allowed_routes.end();
      });
    out.allowed_routes = std::move(names);
    out.only_allowed_routes = true;
  }
  if (!predicate.has_typed_config()) {
    diagnostics.error(join_path(path, "typed_config"),
                      "must be set: a PreviousRoutesConfig, AllowListedRoutesConfig or SafeCrossSchemeConfig of "
                      "envoy.extensions.internal_redirect");
  }
}

}  // namespace

std::shared_ptr<const config::InternalRedirectPolicy> translate_internal_redirects(const route::RouteAction& action,
                                                                                   const std::string& path,
                                                                                   TranslateContext& context) {
  auto out = std::make_shared<config::InternalRedirectPolicy>();
  if (!action.has_internal_redirect_policy()) {
    if (action.internal_redirect_action() != route::RouteAction::HANDLE_INTERNAL_REDIRECT) return nullptr;
    if (action.has_max_internal_redirects()) out->most = action.max_internal_redirects().value();
    return out;
  }
  const auto& policy = action.internal_redirect_policy();
  const std::string policy_path = join_path(path, "internal_redirect_policy");
  if (policy.has_max_internal_redirects()) out->most = policy.max_internal_redirects().value();
  translate_statuses(policy, join_path(policy_path, "redirect_response_codes"), *out, context.diagnostics);
  out->allow_cross_scheme = policy.allow_cross_scheme_redirect();
  const std::string list = join_path(policy_path, "predicates");
  for (int i = 0; i < policy.predicates_size(); ++i) {
    translate_predicate(policy.predicates(i), index_path(list, static_cast<std::size_t>(i)), *out, context.diagnostics);
  }
  const std::string headers = join_path(policy_path, "response_headers_to_copy");
  for (int i = 0; i < policy.response_headers_to_copy_size(); ++i) {
    const std::string& name = policy.response_headers_to_copy(i);
    if (name.starts_with(':') || lower(name) == "host") {
      context.diagnostics.error(index_path(headers, static_cast<std::size_t>(i)),
                                "\"" + name + "\" cannot be copied: it says where the request goes");
    }
    out->copied_headers.push_back(lower(name));
  }
  return out;
}

}  // namespace millrace::agent
