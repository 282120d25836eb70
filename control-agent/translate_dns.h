// What a cluster of type STRICT_DNS or LOGICAL_DNS says of its names: which, how often, and who is asked.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control-agent/discovery/name_resolver.h"
#include "control-agent/translate.h"
#include "dataplane/base/addresses.h"
#include "dataplane/base/time.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace millrace::agent {

/// Cluster.DnsLookupFamily
enum class LookupFamily : std::uint8_t { kAuto, kV4Only, kV6Only, kV4Preferred, kAll };

struct DnsPlan {
  bool logical = false;         ///< one address at a time, and connections outlive its changes
  std::set<std::string> names;  ///< of its endpoints; addresses among them are left out
  Duration refresh_rate = Duration::seconds(5);
  /// dns_failure_refresh_rate; none: refresh_rate.
  struct Backoff {
    Duration base;
    Duration max;
  };
  std::optional<Backoff> failure_backoff;
  bool respect_ttl = false;
  bool filter_unroutable = false;  ///< families that no port has an address of are not asked for
  bool warm_on_init = true;        ///< the gateway is not ready before the names were resolved once, or have failed
  LookupFamily family = LookupFamily::kAuto;
  ResolverSettings resolver;
};

/// Nothing for clusters of other types.
[[nodiscard]] std::optional<DnsPlan> translate_dns(const envoy::config::cluster::v3::Cluster& cluster, const std::string& path,
                                                   TranslateContext& context);

}  // namespace millrace::agent
