// The sections of a config dump, each the message that Envoy has for it: for config_dump.cc only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control-agent/admin/gateway_view.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {

/// What sections are made of.
struct DumpSource {
  const envoy::config::bootstrap::v3::Bootstrap& bootstrap;
  std::chrono::system_clock::time_point loaded_at;
  DynamicResources dynamic;
  std::shared_ptr<const config::Snapshot> snapshot;
  std::function<bool(const std::string& name)> wanted;
};

/// In Envoy's order; endpoints, which take long, only on request.
[[nodiscard]] std::vector<std::unique_ptr<google::protobuf::Message>> config_sections(const DumpSource& source, bool include_eds);

}  // namespace millrace::agent
