// One stream to a group of management servers, opened again whenever it ends: back-off, failover, limits of requests, and the
// types that it carries. Pure: events and time come from outside. Sources: Envoy's "xDS REST and gRPC protocol";
// ApiConfigSource.rate_limit_settings, GrpcService.EnvoyGrpc.retry_policy.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control-agent/xds/server_plan.h"
#include "control-agent/xds/transport.h"
#include "control-agent/xds/type_stream.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"
#include "envoy/config/core/v3/base.pb.h"

namespace millrace::agent {

/// Under Envoy's names ("control_plane.").
struct SessionStats {
  bool connected = false;          ///< connected_state
  std::uint64_t rate_limited = 0;  ///< rate_limit_enforced
  std::uint64_t pending = 0;       ///< pending_requests: that wait for the limit
  std::uint64_t opened = 0;        ///< streams so far
  std::string last_failure = {};   ///< why the last stream ended
};

class StreamSession {
 public:
  /// `method`: of gRPC. `node` is what requests say of us. `transport` must outlive this.
  StreamSession(XdsServerGroup group, std::string method, const envoy::config::core::v3::Node& node, XdsTransport& transport,
                std::uint64_t seed);
  ~StreamSession();
  StreamSession(const StreamSession&) = delete;
  StreamSession& operator=(const StreamSession&) = delete;

  /// Types are carried in the order in which they were added: that of their first requests.
  void add_type(ResourceType type, bool is_wildcard);
  [[nodiscard]] bool carries(ResourceType type) const { return find(type) != nullptr; }
  /// Nothing for types that are not carried.
  void want(ResourceType type, const std::set<SharedName>& names);

  /// Resources of these names are held that no server has sent. Where servers say differences alone, the stream begins anew, to
  /// tell them.
  void hold(ResourceType type, const std::set<SharedName>& names, Instant now);

  [[nodiscard]] bool owns(XdsStreamId stream) const { return stream_ == stream; }
  /// The type of a response of this stream; nothing: none that was asked for, or it is of the other protocol.
  [[nodiscard]] std::optional<ResourceType> on_response(const XdsResponse& response);
  /// Acknowledges the response, or rejects it: a version that was rejected before, with a pause that grows.
  void answer(ResourceType type, const XdsResponse& response, const std::optional<std::string>& error, Instant now);
  void on_closed(const XdsStreamClosed& closed, Instant now);

  /// Opens the stream when its time has come, and sends what may be sent.
  void service(Instant now);
  [[nodiscard]] Instant next_timeout() const;

  [[nodiscard]] const SessionStats& stats() const { return stats_; }
  [[nodiscard]] const XdsServer& server() const { return group_.servers[server_]; }
  [[nodiscard]] const std::string& version(ResourceType type) const;

 private:
  struct Carried {
    std::unique_ptr<TypeStream> stream;
    std::optional<std::string> rejected_version = {};
    std::uint32_t rejections = 0;  // of that version, in a row
    Instant hold_until = {};       // requests of this type wait
  };

  [[nodiscard]] const Carried* find(ResourceType type) const;
  [[nodiscard]] Carried* find(ResourceType type);
  void open();
  [[nodiscard]] bool take_token(Instant now);
  [[nodiscard]] Duration back_off(std::uint32_t failures);

  const XdsServerGroup group_;
  const std::string method_;
  const envoy::config::core::v3::Node& node_;
  XdsTransport& transport_;
  Rng rng_;
  std::vector<Carried> types_;
  std::optional<XdsStreamId> stream_;
  std::size_t server_ = 0;
  Instant open_at_ = {};
  std::uint32_t failures_ = 0;  // in a row
  bool node_sent_ = false;
  bool responded_ = false;  // the stream of now
  double tokens_ = 0;
  Instant tokens_at_ = {};
  SessionStats stats_;
};

}  // namespace millrace::agent
