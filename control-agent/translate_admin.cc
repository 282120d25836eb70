// envoy.config.bootstrap.v3.Admin -> the admin address. The rest of a bootstrap is discovery/world.h.
#include "control-agent/translate_common.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {

std::optional<SocketAddress> translate_admin(const envoy::config::bootstrap::v3::Admin& admin, const std::string& path,
                                             Diagnostics& diagnostics) {
  if (!admin.has_address()) return std::nullopt;
  return translate_address(admin.address(), join_path(path, "address"), AddressUse::kAdmin, diagnostics);
}

}  // namespace millrace::agent
