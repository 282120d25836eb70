// The client status discovery service over gRPC, for tools that ask clients of control planes what they have (grpcdebug). The
// library's threads answer.
#pragma once

#include <memory>
#include <string>

#include "control-agent/admin/gateway_view.h"
#include "dataplane/base/result.h"

namespace millrace::agent {

class StatusServer {
 public:
  /// `address`: "127.0.0.1:15099", or "unix:/path", a socket that only this user may connect to. Listens at once; an error names
  /// the address. `gateway` outlives this.
  [[nodiscard]] static Result<std::unique_ptr<StatusServer>, std::string> start(const std::string& address,
                                                                                const GatewayView& gateway);
  /// Ends all calls.
  ~StatusServer();
  StatusServer(const StatusServer&) = delete;
  StatusServer& operator=(const StatusServer&) = delete;

 private:
  struct Implementation;
  explicit StatusServer(std::unique_ptr<Implementation> implementation);

  std::unique_ptr<Implementation> implementation_;
};

}  // namespace millrace::agent
