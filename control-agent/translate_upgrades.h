// upgrade_configs of connection managers and of routes. For translate_*.cc only.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <optional>
#include <string>

#include "control-agent/diagnostics.h"
#include "control-agent/translate_common.h"

namespace millrace::agent {

/// Which are allowed; nothing: the list does not speak of it.
struct Upgrades {
  std::optional<bool> websocket;
  std::optional<bool> connect;
};

/// `path`: of the list.
template <typename UpgradeConfig>
Upgrades translate_upgrades(const google::protobuf::RepeatedPtrField<UpgradeConfig>& list, const std::string& path,
                            Diagnostics& diagnostics) {
  Upgrades out;
  for (int i = 0; i < list.size(); ++i) {
    const std::string type_path = join_path(index_path(path, static_cast<std::size_t>(i)), "upgrade_type");
    const std::string type = lower(list[i].upgrade_type());
    std::optional<bool>* allowed = type == "websocket" ? &out.websocket : type == "connect" ? &out.connect : nullptr;
    if (allowed == nullptr) {
      diagnostics.error(type_path, "\"" + list[i].upgrade_type() + "\" is not supported yet: only websocket and CONNECT are");
    } else if (*allowed) {
      diagnostics.error(type_path, "\"" + list[i].upgrade_type() + "\" is given twice");
    } else {
      *allowed = !list[i].has_enabled() || list[i].enabled().value();
    }
  }
  return out;
}

}  // namespace millrace::agent
