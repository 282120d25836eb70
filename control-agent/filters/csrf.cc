#include "control-agent/filters/rows.h"
#include "control-agent/translate_common.h"

namespace millrace::agent {

config::Csrf translate_filter(const envoy::extensions::filters::http::csrf::v3::CsrfPolicy& policy, const std::string& path,
                              TranslateContext& context) {
  config::Csrf out;
  out.enabled = translate_fraction(policy.filter_enabled(), context);
  if (policy.has_shadow_enabled()) out.shadow = translate_fraction(policy.shadow_enabled(), context);
  const std::string list = join_path(path, "additional_origins");
  for (int i = 0; i < policy.additional_origins_size(); ++i) {
    out.additional_origins.push_back(
        translate_string_matcher(policy.additional_origins(i), index_path(list, static_cast<std::size_t>(i)), context));
  }
  return out;
}

}  // namespace millrace::agent
