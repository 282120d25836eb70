// envoy.config.rbac.v3.RBAC -> config::AccessRules, and the HTTP and network filters that hold it.
#pragma once

#include <string>

#include "config/model/rbac.h"
#include "control-agent/translate.h"
#include "envoy/config/rbac/v3/rbac.pb.h"
#include "envoy/extensions/filters/network/rbac/v3/rbac.pb.h"

namespace millrace::agent {

[[nodiscard]] config::AccessRules translate_access_rules(const envoy::config::rbac::v3::RBAC& rules, const std::string& path,
                                                         TranslateContext& context);
[[nodiscard]] config::Rbac translate_network_rbac(const envoy::extensions::filters::network::rbac::v3::RBAC& filter,
                                                  const std::string& path, TranslateContext& context);

}  // namespace millrace::agent
