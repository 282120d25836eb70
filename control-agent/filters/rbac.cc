#include "control-agent/filters/rows.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_rbac.h"

namespace millrace::agent {

namespace rbac = envoy::extensions::filters::http::rbac::v3;

config::Rbac translate_filter(const rbac::RBAC& filter, const std::string& path, TranslateContext& context) {
  config::Rbac out;
  if (filter.has_rules()) out.rules = translate_access_rules(filter.rules(), join_path(path, "rules"), context);
  if (filter.has_shadow_rules())
    out.shadow_rules = translate_access_rules(filter.shadow_rules(), join_path(path, "shadow_rules"), context);
  out.rules_stat_prefix = filter.rules_stat_prefix();
  out.shadow_stat_prefix = filter.shadow_rules_stat_prefix();
  const std::string stem = "http." + context.http_stat_prefix + ".rbac.";
  out.cell = context.cells.rbac.get(stem + out.rules_stat_prefix);
  out.shadow_cell = context.cells.rbac.get(stem + out.shadow_stat_prefix);
  return out;
}

config::RbacPerRoute translate_filter(const rbac::RBACPerRoute& route, const std::string& path, TranslateContext& context) {
  config::RbacPerRoute out;
  if (route.has_rbac()) out.rbac = translate_filter(route.rbac(), join_path(path, "rbac"), context);
  return out;
}

}  // namespace millrace::agent
