#include "control-agent/translate_original_dst.h"

#include "control-agent/translate_common.h"
#include "envoy/config/cluster/v3/cluster.pb.h"

namespace millrace::agent {

using envoy::config::cluster::v3::Cluster;

namespace {

constexpr const char* kDefaultHeader = "x-envoy-original-dst-host";

// What needs endpoints that are known before, or a choice among them.
void refuse_what_needs_members(const Cluster& cluster, const std::string& path, Diagnostics& diagnostics) {
  const auto refuse = [&](bool is_set, std::string_view field) {
    if (is_set) diagnostics.error(join_path(path, field), "cannot be set in a cluster of type ORIGINAL_DST: leave it out");
  };
  refuse(cluster.has_load_assignment(), "load_assignment");
  refuse(cluster.has_lb_subset_config(), "lb_subset_config");
  refuse(cluster.health_checks_size() > 0, "health_checks");
  refuse(cluster.has_outlier_detection(), "outlier_detection");
}

void translate_metadata_key(const Cluster::OriginalDstLbConfig& source, const std::string& path, config::OriginalDst& out,
                            Diagnostics& diagnostics) {
  if (!source.has_metadata_key()) return;
  out.metadata_filter = source.metadata_key().key();
  for (const auto& segment : source.metadata_key().path()) out.metadata_path.push_back(segment.key());
  if (out.metadata_path.empty())
    diagnostics.error(join_path(path, "metadata_key.path"), "must hold a key: a filter leaves a struct");
}

void translate_overrides(const Cluster::OriginalDstLbConfig& source, const std::string& path, config::OriginalDst& out,
                         Diagnostics& diagnostics) {
  if (source.use_http_header()) {
    out.http_header = source.http_header_name().empty() ? kDefaultHeader : lower(source.http_header_name());
  } else if (!source.http_header_name().empty()) {
    diagnostics.error(join_path(path, "http_header_name"), "is not used without use_http_header: set that, or leave this out");
  }
  if (source.has_upstream_port_override()) {
    out.port_override = static_cast<std::uint16_t>(source.upstream_port_override().value());
    if (*out.port_override == 0) diagnostics.error(join_path(path, "upstream_port_override"), "must be 1 to 65535, is 0");
  }
  translate_metadata_key(source, path, out, diagnostics);
}

}  // namespace

std::shared_ptr<const config::OriginalDst> translate_original_dst(const Cluster& cluster, const std::string& path,
                                                                  const UpstreamSockets& sockets, Diagnostics& diagnostics) {
  const std::string rules = join_path(path, "original_dst_lb_config");
  if (cluster.cluster_discovery_type_case() != Cluster::kType || cluster.type() != Cluster::ORIGINAL_DST) {
    if (cluster.has_original_dst_lb_config())
      diagnostics.error(rules, "is only used by a cluster of type ORIGINAL_DST: set type, or leave it out");
    return nullptr;
  }
  refuse_what_needs_members(cluster, path, diagnostics);
  auto out = std::make_shared<config::OriginalDst>();
  translate_overrides(cluster.original_dst_lb_config(), rules, *out, diagnostics);
  if (cluster.has_cleanup_interval())
    out->cleanup_interval = translate_duration(cluster.cleanup_interval(), join_path(path, "cleanup_interval"), diagnostics);
  UpstreamSocket socket = sockets.choose({}, {});
  out->endpoint.own_extras().tls = std::move(socket.tls);
  out->endpoint.own_extras().proxy_protocol = std::move(socket.proxy_protocol);
  return out;
}

}  // namespace millrace::agent
