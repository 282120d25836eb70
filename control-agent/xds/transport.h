// What the xDS client needs of a network: streams to management servers that carry requests one way and responses the other:
// of discovery, and of load reports.
// grpc_transport.h is the real one; tests script their own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "control-agent/xds/server_plan.h"
#include "control-agent/xds/xds_message.h"
#include "envoy/service/load_stats/v3/lrs.pb.h"

namespace millrace::agent {

/// Told apart over the whole life of a transport.
using XdsStreamId = std::uint64_t;

/// The stream has ended: refused, failed or closed by the server. Nothing comes of it any more.
struct XdsStreamClosed {
  std::string reason;  ///< "UNAVAILABLE: connection refused"
};

struct XdsStreamEvent {
  XdsStreamId stream;
  std::variant<XdsResponse, envoy::service::load_stats::v3::LoadStatsResponse, XdsStreamClosed> what;
};

class XdsTransport {
 public:
  virtual ~XdsTransport() = default;

  /// Begins a stream of discovery; whether the server can be reached shows later.
  [[nodiscard]] virtual XdsStreamId open(const XdsServer& server, const std::string& method, XdsProtocol protocol) = 0;
  /// The same for a stream of load reports (envoy.service.load_stats.v3.LoadReportingService).
  [[nodiscard]] virtual XdsStreamId open_load_reports(const XdsServer& server) = 0;
  /// Sends behind what was sent before. On a stream that has ended it is lost.
  virtual void send(XdsStreamId stream, XdsRequest request) = 0;
  /// Ends the stream; no event of it follows.
  virtual void close(XdsStreamId stream) = 0;
  /// What has happened since the last call, in order.
  [[nodiscard]] virtual std::vector<XdsStreamEvent> take_events() = 0;
};

}  // namespace millrace::agent
