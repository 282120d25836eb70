// Protobuf configuration -> the plain snapshot that workers see. Errors go to Diagnostics at the path of the field that is wrong,
// all of them in one run; what a function returns after an error is not meant to be used. Not here: form (loader.h),
// validate.rules (validate_rules.h), unsupported fields (field_table.h); all three run before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "config/model/dataplane.h"
#include "config/model/snapshot.h"
#include "control-agent/cell_registry.h"
#include "control-agent/diagnostics.h"
#include "control-agent/secrets/secret_store.h"
#include "dataplane/base/addresses.h"

namespace envoy::config {
namespace core::v3 {
class Locality;
}
namespace bootstrap::v3 {
class Admin;
class Bootstrap;
}  // namespace bootstrap::v3
namespace listener::v3 {
class Listener;
}
namespace route::v3 {
class RouteConfiguration;
}
}  // namespace envoy::config
namespace millrace::v1 {
class Dataplane;
}

namespace millrace::agent {

class DiscoveredSecrets;
class KeySetStore;
class RuntimeValues;
struct OverloadPlan;
struct StaticSecrets;

struct TranslateContext {
  Diagnostics& diagnostics;
  CellRegistry& cells;
  std::size_t workers = 1;
  std::string service_node;
  std::string service_cluster;
  std::string http_stat_prefix = {};  ///< of the connection manager whose filters and routes are being translated
  std::function<bool(const std::string&)> has_cluster = {};            ///< what routes may point to; empty: nothing
  std::vector<config::LogSink> log_sinks = {};                         ///< filled by access logs
  std::shared_ptr<SecretStore> secrets = {};                           ///< gets every TLS context; not null
  std::shared_ptr<const StaticSecrets> static_secrets = {};            ///< filled before listeners and clusters
  std::shared_ptr<DiscoveredSecrets> discovered_secrets = {};          ///< null: there is no control plane
  const envoy::config::bootstrap::v3::Bootstrap* bootstrap = nullptr;  ///< what names its control planes; null: none
  std::set<SecretName> secret_names = {};                              ///< filled: those of control planes that are needed
  std::shared_ptr<KeySetStore> key_sets = {};                          ///< gets every remote_jwks; not null
  std::string stat_prefix = {};                                        ///< of the connection manager that is translated
  const RuntimeValues* runtime = nullptr;                              ///< null: it says nothing
  std::set<std::string> runtime_keys = {};                             ///< filled: what was asked of it
  std::shared_ptr<const OverloadPlan> overload = {};  ///< filled by translate_overload(); null: nothing is watched
  bool is_dynamic = false;                            ///< what is translated is not of the bootstrap
  bool keep_records_in_openssl = false;               ///< the dataplane's tls.record_engine: OPENSSL
};

[[nodiscard]] std::shared_ptr<const config::Listener> translate_listener(const envoy::config::listener::v3::Listener& listener,
                                                                         const std::string& path, TranslateContext& context);
/// `validate_clusters`: what holds when the message does not say (true for a route_config in a listener, as in Envoy).
[[nodiscard]] std::shared_ptr<const config::RouteTable> translate_routes(
    const envoy::config::route::v3::RouteConfiguration& routes, const std::string& path, bool validate_clusters,
    TranslateContext& context);
[[nodiscard]] config::LocalityName translate_locality_name(const envoy::config::core::v3::Locality& locality);
/// Where the admin pages are served; nothing without an address.
[[nodiscard]] std::optional<SocketAddress> translate_admin(const envoy::config::bootstrap::v3::Admin& admin,
                                                           const std::string& path, Diagnostics& diagnostics);
[[nodiscard]] config::Dataplane translate_dataplane(const millrace::v1::Dataplane& dataplane, const std::string& path,
                                                    Diagnostics& diagnostics);

}  // namespace millrace::agent
