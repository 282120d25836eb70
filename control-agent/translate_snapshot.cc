// envoy.config.bootstrap.v3.Bootstrap -> config::Snapshot, and the admin address.
#include <map>
#include <utility>

#include "control-agent/translate_common.h"
#include "control-agent/translate_overload.h"
#include "control-agent/translate_tls.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {

namespace bootstrap_api = envoy::config::bootstrap::v3;

namespace {

constexpr std::string_view kClusters = "static_resources.clusters";
constexpr std::string_view kListeners = "static_resources.listeners";
constexpr std::string_view kSecrets = "static_resources.secrets";

/// Reports a name that an earlier item of the list has.
class Names {
 public:
  explicit Names(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}
  bool take(const std::string& name, const std::string& item, const std::string& path, const std::string& what) {
    const auto [owner, first] = owners_.emplace(name, item);
    if (!first) diagnostics_.error(path, what + " \"" + name + "\" is already taken by " + owner->second);
    return first;
  }

 private:
  Diagnostics& diagnostics_;
  std::map<std::string, std::string> owners_;
};

void translate_clusters(const bootstrap_api::Bootstrap& bootstrap, config::Snapshot& out, TranslateContext& context) {
  const auto& clusters = bootstrap.static_resources().clusters();
  for (const auto& cluster : clusters) context.cluster_names.insert(cluster.name());
  Names names(context.diagnostics);
  for (int i = 0; i < clusters.size(); ++i) {
    const std::string path = index_path(kClusters, static_cast<std::size_t>(i));
    names.take(clusters[i].name(), path, join_path(path, "name"), "the name");
    auto cluster = translate_cluster(clusters[i], path, context);
    out.clusters.emplace(cluster->name, std::move(cluster));
  }
}

void translate_listeners(const bootstrap_api::Bootstrap& bootstrap, config::Snapshot& out, TranslateContext& context) {
  const auto& listeners = bootstrap.static_resources().listeners();
  Names names(context.diagnostics);
  Names addresses(context.diagnostics);
  for (int i = 0; i < listeners.size(); ++i) {
    const std::string path = index_path(kListeners, static_cast<std::size_t>(i));
    auto listener = translate_listener(listeners[i], path, context);
    if (!listener->name.empty()) names.take(listener->name, path, join_path(path, "name"), "the name");
    for (const auto& address : listener->addresses)
      addresses.take(address.to_string(), path, join_path(path, "address"), "the address");
    out.listeners.push_back(std::move(listener));
  }
}

}  // namespace

std::optional<SocketAddress> translate_admin(const bootstrap_api::Admin& admin, const std::string& path,
                                             Diagnostics& diagnostics) {
  if (!admin.has_address()) return std::nullopt;
  return translate_address(admin.address(), join_path(path, "address"), AddressUse::kAdmin, diagnostics);
}

std::shared_ptr<const config::Snapshot> translate_snapshot(const bootstrap_api::Bootstrap& bootstrap, TranslateContext& context) {
  auto out = std::make_shared<config::Snapshot>();
  out->version = 1;
  out->node = {{"id", context.service_node}, {"cluster", context.service_cluster}};
  context.static_secrets = collect_secrets(bootstrap.static_resources().secrets(), std::string(kSecrets), context.diagnostics);
  read_runtime(bootstrap.layered_runtime(), "layered_runtime", context);
  out->overload = translate_overload(bootstrap, "overload_manager", context);
  translate_clusters(bootstrap, *out, context);
  translate_listeners(bootstrap, *out, context);
  out->log_sinks = context.log_sinks;
  return out;
}

}  // namespace millrace::agent
