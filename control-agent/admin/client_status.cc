#include "control-agent/admin/client_status.h"

#include <algorithm>
#include <utility>

#include "control-agent/admin/messages.h"
#include "control-agent/cell_registry.h"
#include "control-agent/redact.h"
#include "control-agent/stats_settings.h"
#include "control-agent/translate.h"
#include "control-agent/translate_common.h"
#include "control-agent/validate_rules.h"
#include "control-agent/xds/server_plan.h"
#include "control-agent/xds/xds_message.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {

namespace status = envoy::service::status::v3;

namespace {

using Entry = status::ClientConfig::GenericXdsConfig;

void set_content(const google::protobuf::Message& content, Entry& out) {
  out.mutable_xds_config()->PackFrom(content);
  redact(*out.mutable_xds_config());
}

class Collector {
 public:
  Collector(const GatewayView& gateway, bool with_contents, status::ClientConfig& out)
      : loaded_at_(gateway.loaded_at()), with_contents_(with_contents), out_(out) {}

  template <typename Messages>
  void statics(ResourceType type, const Messages& messages) {
    for (const auto& message : messages) {
      Entry& entry = add(type, message.name());
      entry.set_is_static_resource(true);
      *entry.mutable_last_updated() = to_timestamp(loaded_at_);
      if (with_contents_) set_content(message, entry);
    }
  }

  void dynamics(ResourceType type, const std::vector<DynamicResource>& resources) {
    for (const DynamicResource& resource : resources) {
      Entry& entry = add(type, resource.name);
      entry.set_version_info(resource.version);
      entry.set_client_status(resource.refused              ? envoy::admin::v3::NACKED
                              : resource.content == nullptr ? envoy::admin::v3::REQUESTED
                                                            : envoy::admin::v3::ACKED);
      if (resource.content != nullptr) *entry.mutable_last_updated() = to_timestamp(resource.updated);
      if (resource.content != nullptr && with_contents_) set_content(*resource.content, entry);
      if (!resource.refused) continue;
      auto& failure = *entry.mutable_error_state();
      set_refused(*resource.refused, failure);
      with_contents_ ? redact(failure) : failure.clear_failed_configuration();
    }
  }

  void missing(const MissingResource& resource) {
    add(resource.type, resource.name)
        .set_client_status(resource.is_waited_for ? envoy::admin::v3::REQUESTED : envoy::admin::v3::DOES_NOT_EXIST);
  }

 private:
  Entry& add(ResourceType type, const std::string& name) {
    Entry& entry = *out_.add_generic_xds_configs();
    entry.set_type_url(std::string(type_url(type)));
    entry.set_name(name);
    return entry;
  }

  const std::chrono::system_clock::time_point loaded_at_;
  const bool with_contents_;
  status::ClientConfig& out_;
};

/// One of them, or there is none.
Result<bool, std::string> is_meant(const status::ClientStatusRequest& request, const std::string& id) {
  Diagnostics diagnostics;
  validate_rules(request, {}, diagnostics);
  CellRegistry cells(1);
  TranslateContext context{diagnostics, cells, 1, {}, {}};
  bool meant = request.node_matchers().empty();
  for (int i = 0; i < request.node_matchers_size() && diagnostics.ok(); ++i) {
    const auto& matcher = request.node_matchers(i);
    const std::string path = index_path("node_matchers", static_cast<std::size_t>(i));
    if (!matcher.node_metadatas().empty()) diagnostics.error(join_path(path, "node_metadatas"), "are not matched: use node_id");
    bool fits = true;
    if (matcher.has_node_id()) {
      const auto pattern = translate_string_matcher(matcher.node_id(), join_path(path, "node_id"), context);
      fits = diagnostics.ok() && matches(pattern, id);  // one that could not be translated must not be asked
    }
    meant = meant || fits;
  }
  if (!diagnostics.ok()) return Error<std::string>(diagnostics.errors()[0].to_string());
  return meant;
}

}  // namespace

Result<status::ClientStatusResponse, std::string> client_status(const GatewayView& gateway,
                                                                const status::ClientStatusRequest& request) {
  const auto& bootstrap = gateway.bootstrap();
  const CommandLine given = gateway.command_line();
  status::ClientConfig config;
  *config.mutable_node() = make_node(bootstrap, given.service_node.empty() ? bootstrap.node().id() : given.service_node,
                                     given.service_cluster.empty() ? bootstrap.node().cluster() : given.service_cluster);
  const auto meant = is_meant(request, config.node().id());
  if (!meant) return Error<std::string>(meant.error());
  status::ClientStatusResponse out;
  if (!*meant) return out;
  Collector collector(gateway, !request.exclude_resource_contents(), config);
  const auto& statics = bootstrap.static_resources();
  collector.statics(ResourceType::kListener, statics.listeners());
  collector.statics(ResourceType::kCluster, statics.clusters());
  collector.statics(ResourceType::kSecret, statics.secrets());
  const DynamicResources dynamic = gateway.dynamic_resources();
  collector.dynamics(ResourceType::kListener, dynamic.listeners);
  collector.dynamics(ResourceType::kRoutes, dynamic.routes);
  collector.dynamics(ResourceType::kCluster, dynamic.clusters);
  collector.dynamics(ResourceType::kAssignment, dynamic.endpoints);
  collector.dynamics(ResourceType::kSecret, dynamic.secrets);
  for (const MissingResource& resource : dynamic.missing) collector.missing(resource);
  *out.add_config() = std::move(config);
  return out;
}

}  // namespace millrace::agent
