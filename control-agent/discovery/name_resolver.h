// Asking for the addresses of a name: what is asked, what comes back, and who can be asked. One family at a time; which families,
// and in which order, is for name_discovery.h.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/base/time.h"

namespace millrace::agent {

/// Whom to ask, and how: CaresDnsResolverConfig and the fields that it replaced.
struct ResolverSettings {
  std::vector<SocketAddress> servers;  ///< empty: those of the system
  bool servers_as_fallback = false;    ///< ask `servers` only where the system has none
  bool use_tcp = false;
  bool no_search_domains = false;
  auto operator<=>(const ResolverSettings&) const = default;
};

enum class IpFamily : std::uint8_t { kV4, kV6 };

struct NameAnswer {
  enum class Status : std::uint8_t {
    kFound,
    kEmpty,   ///< it exists without addresses of this family, or not at all
    kFailed,  ///< nobody said anything of use
  };
  Status status = Status::kFailed;
  std::vector<IpAddress> addresses = {};
  Duration ttl = {};  ///< the shortest of the records
};

/// What names stand for.
using ResolvedNames = std::map<std::string, std::vector<IpAddress>>;

/// For one thread.
class NameResolver {
 public:
  using Done = std::function<void(NameAnswer)>;

  virtual ~NameResolver() = default;
  /// Calls `done` once: at once, or later from where the resolver is driven; never after its end.
  virtual void resolve(const std::string& name, IpFamily family, Done done) = 0;
};

}  // namespace millrace::agent
