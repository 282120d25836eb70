#include "control-agent/translate_upstream_connection.h"

#include <algorithm>

#include "envoy/config/cluster/v3/cluster.pb.h"

namespace millrace::agent {

using envoy::config::cluster::v3::UpstreamConnectionOptions;

namespace {

template <typename Number>
void translate_number(const google::protobuf::UInt32Value& value, std::uint32_t most, const std::string& path, Number& out,
                      Diagnostics& diagnostics) {
  if (value.value() == 0 || value.value() > most) {
    return diagnostics.error(path, "must be 1 to " + std::to_string(most) + ", is " + std::to_string(value.value()));
  }
  out = static_cast<Number>(value.value());
}

KeepAlive translate_keep_alive(const envoy::config::core::v3::TcpKeepalive& source, const std::string& path,
                               Diagnostics& diagnostics) {
  KeepAlive out;
  if (source.has_keepalive_probes()) {
    translate_number(source.keepalive_probes(), KeepAlive::kMostProbes, join_path(path, "keepalive_probes"), out.probes,
                     diagnostics);
  }
  if (source.has_keepalive_time()) {
    translate_number(source.keepalive_time(), KeepAlive::kMostSeconds, join_path(path, "keepalive_time"), out.idle_seconds,
                     diagnostics);
  }
  if (source.has_keepalive_interval()) {
    translate_number(source.keepalive_interval(), KeepAlive::kMostSeconds, join_path(path, "keepalive_interval"),
                     out.interval_seconds, diagnostics);
  }
  return out;
}

config::HappyEyeballs::First translate_first(UpstreamConnectionOptions::FirstAddressFamilyVersion version) {
  using enum config::HappyEyeballs::First;
  return version == UpstreamConnectionOptions::V4 ? kV4 : version == UpstreamConnectionOptions::V6 ? kV6 : kAsGiven;
}

}  // namespace

void translate_upstream_connection(const UpstreamConnectionOptions& options, const std::string& path, config::Cluster& out,
                                   Diagnostics& diagnostics) {
  if (options.has_tcp_keepalive())
    out.keep_alive = translate_keep_alive(options.tcp_keepalive(), join_path(path, "tcp_keepalive"), diagnostics);
  if (!options.has_happy_eyeballs_config()) return;
  const auto& source = options.happy_eyeballs_config();
  out.happy_eyeballs.first = translate_first(source.first_address_family_version());
  if (source.has_first_address_family_count()) out.happy_eyeballs.first_count = source.first_address_family_count().value();
}

// RFC 8305 4. Where the family that is to be first is not there at all, the other one is alone.
std::shared_ptr<const std::vector<SocketAddress>> order_attempts(const std::vector<SocketAddress>& addresses,
                                                                 const config::HappyEyeballs& order) {
  if (addresses.size() < 2) return nullptr;
  const bool v4_first = order.first == config::HappyEyeballs::First::kAsGiven ? addresses.front().ip.is_v4()
                                                                              : order.first == config::HappyEyeballs::First::kV4;
  std::vector<SocketAddress> first;
  std::vector<SocketAddress> other;
  for (const SocketAddress& address : addresses) (address.ip.is_v4() == v4_first ? first : other).push_back(address);
  auto out = std::make_shared<std::vector<SocketAddress>>();
  for (std::size_t i = 0, k = 0; i < first.size() || k < other.size();) {
    for (std::uint32_t taken = 0; taken < order.first_count && i < first.size(); ++taken) out->push_back(first[i++]);
    if (k < other.size()) out->push_back(other[k++]);
  }
  return out;
}

}  // namespace millrace::agent
