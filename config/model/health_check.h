// How a cluster's endpoints are probed. Source: envoy.config.core.v3.HealthCheck, envoy.config.endpoint.v3.Endpoint's
// HealthCheckConfig, and common_lb_config.ignore_new_hosts_until_first_hc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "config/model/header_mutation.h"
#include "config/model/matcher.h"
#include "dataplane/base/addresses.h"
#include "dataplane/base/time.h"

namespace millrace::config {

struct UpstreamTls;

/// Bytes that an answer has to hold. Made by config/compile/expected_bytes.h.
struct ExpectedBytes {
  std::string bytes;
  /// For each length of a part that was found, 1 to all: the longest proper prefix of it that is also its end.
  std::vector<std::uint32_t> borders;
};

/// [start, end)
struct StatusRange {
  std::uint16_t start = 0;
  std::uint16_t end = 0;
};

struct HttpHealthCheck {
  bool http2 = false;  ///< else HTTP/1.1
  std::string method = "GET";
  std::string path;
  std::string body;  ///< empty: the request has none
  std::vector<HeaderMutation> headers_to_add;
  std::vector<std::string> headers_to_remove;
  std::vector<StatusRange> expected = {{200, 201}};
  std::vector<StatusRange> retriable;         ///< failures that count towards the threshold, instead of at once
  std::vector<ExpectedBytes> receive;         ///< in this order in the body; empty: any body will do
  std::uint64_t most_response_bytes = 1'024;  ///< of the body that are looked at; 0: all
  std::optional<StringMatcher> service_name;  ///< what x-envoy-upstream-healthchecked-cluster has to be
};

struct TcpHealthCheck {
  std::string send;
  std::vector<ExpectedBytes> receive;  ///< in this order; empty: a connection that is made will do, and nothing is sent
};

/// grpc.health.v1.Health/Check over HTTP/2.
struct GrpcHealthCheck {
  std::string request;  ///< the message. Made by config/compile/grpc_check.h
  std::vector<HeaderMutation> metadata;
};

struct HealthCheck {
  std::uint64_t content_hash = 0;  ///< equal content, equal hash: then checks go on as they are

  Duration timeout;  ///< of a check, connecting included; above zero
  // Between two checks; all above zero.
  Duration interval;
  Duration no_traffic_interval = Duration::seconds(60);  ///< while the cluster has never had a connection for requests
  Duration no_traffic_healthy_interval = Duration::seconds(60);
  Duration unhealthy_interval;
  Duration unhealthy_edge_interval;  ///< after a failure that was not enough to make an endpoint unhealthy
  Duration healthy_edge_interval;    ///< after a success that was not enough to make it healthy
  // Added to them by chance, up to so much.
  Duration initial_jitter;  ///< before the first check
  Duration interval_jitter;
  std::uint32_t interval_jitter_percent = 0;

  std::uint32_t unhealthy_threshold = 1;  ///< failures in a row; of a kind that does not count at once
  std::uint32_t healthy_threshold = 1;    ///< successes in a row; the first check ever needs one
  bool reuse_connection = true;
  bool exclude_new_endpoints = false;  ///< ignore_new_hosts_until_first_hc

  std::variant<HttpHealthCheck, TcpHealthCheck, GrpcHealthCheck> check;
  std::vector<std::string> protocols;  ///< ALPN instead of the cluster's; empty: the cluster's

  std::vector<std::uint32_t> log_sinks;  ///< of events, indexes into Snapshot::log_sinks
  bool log_all_failures = false;         ///< always_log_health_check_failures
  bool log_all_successes = false;        ///< always_log_health_check_success
};

/// What of an endpoint is probed.
struct HealthTarget {
  SocketAddress address;
  std::string host;                        ///< of the request
  std::shared_ptr<const UpstreamTls> tls;  ///< null: plain text
  std::string pipe = {};                   ///< the path of a Unix socket, which `address` stands for; empty: it is an IP address
};

}  // namespace millrace::config
