#include "control-agent/filters/rows.h"
#include "control-agent/translate_common.h"

namespace millrace::agent {

namespace cors = envoy::extensions::filters::http::cors::v3;

config::Cors translate_filter(const cors::Cors&, const std::string&, TranslateContext&) { return {}; }

config::CorsPolicy translate_filter(const cors::CorsPolicy& policy, const std::string& path, TranslateContext& context) {
  config::CorsPolicy out;
  const std::string origins = join_path(path, "allow_origin_string_match");
  for (int i = 0; i < policy.allow_origin_string_match_size(); ++i) {
    out.allow_origins.push_back(
        translate_string_matcher(policy.allow_origin_string_match(i), index_path(origins, static_cast<std::size_t>(i)), context));
  }
  out.allow_methods = policy.allow_methods();
  out.allow_headers = policy.allow_headers();
  out.expose_headers = policy.expose_headers();
  out.max_age = policy.max_age();
  if (policy.has_allow_credentials()) out.allow_credentials = policy.allow_credentials().value();
  if (policy.has_allow_private_network_access()) out.allow_private_network_access = policy.allow_private_network_access().value();
  if (policy.has_forward_not_matching_preflights())
    out.forward_not_matching_preflights = policy.forward_not_matching_preflights().value();
  if (policy.has_filter_enabled()) out.enabled = translate_fraction(policy.filter_enabled(), context);
  if (policy.has_shadow_enabled()) out.shadow = translate_fraction(policy.shadow_enabled(), context);
  return out;
}

}  // namespace millrace::agent
