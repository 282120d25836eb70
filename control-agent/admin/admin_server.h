// The admin pages, with Envoy's paths and shapes, over cpp-httplib on kernel sockets and threads of its own.
#pragma once

#include <memory>
#include <string>

#include "control-agent/admin/gateway_view.h"
#include "dataplane/base/addresses.h"

namespace millrace::agent {

class AdminServer {
 public:
  /// Listens on `address` at once. Throws std::runtime_error, naming address and reason, when that fails.
  AdminServer(const SocketAddress& address, GatewayView& gateway);
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace millrace::agent
