#include "control-agent/translate_health_check.h"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>
#include <vector>

#include "config/compile/content_hash.h"
#include "config/compile/expected_bytes.h"
#include "config/compile/grpc_check.h"
#include "control-agent/loader_values.h"
#include "control-agent/translate_access_log.h"
#include "control-agent/translate_common.h"
#include "dataplane/base/hex.h"
#include "envoy/config/core/v3/health_check.pb.h"
#include "envoy/extensions/health_check/event_sinks/file/v3/file.pb.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;
using envoy::config::cluster::v3::Cluster;
using envoy::extensions::health_check::event_sinks::file::v3::HealthCheckEventFileSink;

namespace {

constexpr auto kLongest = Duration::seconds(365LL * 86'400);  // longer waits end no sooner, and jitter is added to them
constexpr std::uint32_t kMostJitterPercent = 10'000;
constexpr std::uint32_t kLeastStatus = 100;
constexpr std::uint32_t kEndOfStatuses = 600;

std::optional<std::string> decode_hex(std::string_view text) {
  const auto value = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  if (text.size() % 2 != 0) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = value(text[i]);
    const int low = value(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
  }
  return out;
}

std::string translate_payload(const core::HealthCheck::Payload& payload, const std::string& path, Diagnostics& diagnostics) {
  if (payload.payload_case() != core::HealthCheck::Payload::kText) return payload.binary();
  auto bytes = decode_hex(payload.text());
  if (bytes) return std::move(*bytes);
  diagnostics.error(join_path(path, "text"),
                    "must be an even number of hexadecimal digits, such as 504f4e47; put plain bytes into binary (base64)");
  return {};
}

std::vector<config::ExpectedBytes> translate_expected(
    const google::protobuf::RepeatedPtrField<core::HealthCheck::Payload>& payloads, const std::string& path,
    Diagnostics& diagnostics) {
  std::vector<config::ExpectedBytes> out;
  for (int i = 0; i < payloads.size(); ++i) {
    out.push_back(
        config::expect_bytes(translate_payload(payloads[i], index_path(path, static_cast<std::size_t>(i)), diagnostics)));
  }
  return out;
}

std::vector<config::StatusRange> translate_statuses(const google::protobuf::RepeatedPtrField<envoy::type::v3::Int64Range>& ranges,
                                                    const std::string& path, Diagnostics& diagnostics) {
  std::vector<config::StatusRange> out;
  for (int i = 0; i < ranges.size(); ++i) {
    const auto& range = ranges[i];
    if (range.start() >= range.end() || range.start() < kLeastStatus || range.end() > kEndOfStatuses) {
      diagnostics.error(index_path(path, static_cast<std::size_t>(i)),
                        "must hold statuses from 100 to 599: start below end, which is exclusive and at most 600");
      continue;
    }
    out.push_back({static_cast<std::uint16_t>(range.start()), static_cast<std::uint16_t>(range.end())});
  }
  return out;
}

config::HttpHealthCheck translate_http(const core::HealthCheck::HttpHealthCheck& check, const std::string& path,
                                       TranslateContext& context) {
  Diagnostics& diagnostics = context.diagnostics;
  config::HttpHealthCheck out;
  if (check.method() != core::METHOD_UNSPECIFIED) out.method = core::RequestMethod_Name(check.method());
  out.path = check.path();
  if (check.has_send()) {
    out.body = translate_payload(check.send(), join_path(path, "send"), diagnostics);
    const auto with_body = {core::POST, core::PUT, core::PATCH, core::OPTIONS};
    if (std::ranges::find(with_body, check.method()) == with_body.end())
      diagnostics.error(join_path(path, "send"), out.method + " has no body: method must be POST, PUT, PATCH or OPTIONS");
  }
  out.headers_to_add =
      translate_header_options(check.request_headers_to_add(), join_path(path, "request_headers_to_add"), diagnostics);
  out.headers_to_remove =
      translate_header_removals(check.request_headers_to_remove(), join_path(path, "request_headers_to_remove"), diagnostics);
  if (check.expected_statuses_size() > 0)
    out.expected = translate_statuses(check.expected_statuses(), join_path(path, "expected_statuses"), diagnostics);
  out.retriable = translate_statuses(check.retriable_statuses(), join_path(path, "retriable_statuses"), diagnostics);
  out.receive = translate_expected(check.receive(), join_path(path, "receive"), diagnostics);
  if (check.has_response_buffer_size()) out.most_response_bytes = check.response_buffer_size().value();
  std::uint64_t wanted = 0;
  for (const config::ExpectedBytes& expected : out.receive) wanted += expected.bytes.size();
  if (out.most_response_bytes != 0 && wanted > out.most_response_bytes) {
    diagnostics.error(join_path(path, "receive"), "holds " + std::to_string(wanted) +
                                                      " bytes, more than response_buffer_size lets be looked at (" +
                                                      std::to_string(out.most_response_bytes) + ")");
  }
  out.http2 = check.codec_client_type() == envoy::type::v3::HTTP2;
  if (!out.http2 && check.codec_client_type() != envoy::type::v3::HTTP1)
    diagnostics.error(join_path(path, "codec_client_type"), "is not supported yet: checks are made over HTTP1 or HTTP2");
  if (check.has_service_name_matcher()) {
    out.service_name = translate_string_matcher(check.service_name_matcher(), join_path(path, "service_name_matcher"), context);
  }
  return out;
}

config::TcpHealthCheck translate_tcp(const core::HealthCheck::TcpHealthCheck& check, const std::string& path,
                                     Diagnostics& diagnostics) {
  config::TcpHealthCheck out;
  if (check.has_send()) out.send = translate_payload(check.send(), join_path(path, "send"), diagnostics);
  out.receive = translate_expected(check.receive(), join_path(path, "receive"), diagnostics);
  return out;
}

config::GrpcHealthCheck translate_grpc(const core::HealthCheck::GrpcHealthCheck& check, const std::string& path,
                                       Diagnostics& diagnostics) {
  return {.request = config::grpc_check_request(check.service_name()),
          .metadata = translate_header_options(check.initial_metadata(), join_path(path, "initial_metadata"), diagnostics)};
}

// HTTP/2 over TLS is agreed upon by ALPN (RFC 9113 3.3), and what a cluster offers is for its requests, which are HTTP/1.1.
std::vector<std::string> translate_protocols(const core::HealthCheck& check, const config::HealthCheck& translated) {
  const auto& own = check.tls_options().alpn_protocols();
  if (!own.empty()) return {own.begin(), own.end()};
  const auto* http = std::get_if<config::HttpHealthCheck>(&translated.check);
  const bool is_http2 = check.has_grpc_health_check() || (http != nullptr && http->http2);
  return is_http2 ? std::vector<std::string>{"h2"} : std::vector<std::string>{};
}

void translate_times(const core::HealthCheck& check, const std::string& path, config::HealthCheck& out,
                     Diagnostics& diagnostics) {
  const auto duration = [&](const google::protobuf::Duration& value, std::string_view field) {
    return std::min(translate_duration(value, join_path(path, field), diagnostics), kLongest);
  };
  out.timeout = duration(check.timeout(), "timeout");
  out.interval = duration(check.interval(), "interval");
  if (check.has_no_traffic_interval()) out.no_traffic_interval = duration(check.no_traffic_interval(), "no_traffic_interval");
  out.no_traffic_healthy_interval = check.has_no_traffic_healthy_interval()
                                        ? duration(check.no_traffic_healthy_interval(), "no_traffic_healthy_interval")
                                        : out.no_traffic_interval;
  out.unhealthy_interval =
      check.has_unhealthy_interval() ? duration(check.unhealthy_interval(), "unhealthy_interval") : out.interval;
  out.unhealthy_edge_interval = check.has_unhealthy_edge_interval()
                                    ? duration(check.unhealthy_edge_interval(), "unhealthy_edge_interval")
                                    : out.unhealthy_interval;
  out.healthy_edge_interval =
      check.has_healthy_edge_interval() ? duration(check.healthy_edge_interval(), "healthy_edge_interval") : out.interval;
  out.initial_jitter = duration(check.initial_jitter(), "initial_jitter");
  out.interval_jitter = duration(check.interval_jitter(), "interval_jitter");
  out.interval_jitter_percent = check.interval_jitter_percent();
  if (out.interval_jitter_percent > kMostJitterPercent) {
    diagnostics.error(join_path(path, "interval_jitter_percent"), "must be at most " + std::to_string(kMostJitterPercent) +
                                                                      ", is " + std::to_string(out.interval_jitter_percent));
  }
}

void translate_log(const core::HealthCheck& check, const std::string& path, config::HealthCheck& out, TranslateContext& context) {
  std::vector<std::string> files;
  if (!check.event_log_path().empty()) files.push_back(check.event_log_path());
  for (int i = 0; i < check.event_logger_size(); ++i) {
    const auto& any = check.event_logger(i).typed_config();
    if (const auto sink = unpack<HealthCheckEventFileSink>(any)) {
      files.push_back(sink->event_log_path());
    } else {
      const std::string at = join_path(index_path(join_path(path, "event_logger"), static_cast<std::size_t>(i)), "typed_config");
      context.diagnostics.error(at, any.type_url().empty()
                                        ? "must be set"
                                        : "the type \"" + any.type_url() + "\" is not an event sink that is supported");
    }
  }
  for (std::string& file : files) out.log_sinks.push_back(log_sink_index(std::move(file), context.log_sinks));
  out.log_all_failures = check.always_log_health_check_failures();
  out.log_all_successes = check.always_log_health_check_success();
}

// What a Host field cannot hold, such as the bars in names of Istio's clusters, is percent-encoded.
std::string as_host(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string_view("-._~!$&'()*+,;=:[]%").contains(c)) {
      out.push_back(c);
    } else {
      const auto digits = hex_digits(byte);
      out.append({'%', digits[0], digits[1]});
    }
  }
  return out;
}

}  // namespace

std::shared_ptr<const config::HealthCheck> translate_health_check(const Cluster& cluster, const std::string& path,
                                                                  TranslateContext& context) {
  if (cluster.health_checks().empty()) return nullptr;
  const std::string list = join_path(path, "health_checks");
  if (cluster.health_checks_size() > 1) {
    context.diagnostics.error(index_path(list, 1), "is one too many: a cluster has one health check");
    return nullptr;
  }
  const core::HealthCheck& check = cluster.health_checks(0);
  const std::string at = index_path(list, 0);
  auto out = std::make_shared<config::HealthCheck>();
  out->content_hash = config::content_hash(serialize(check));
  translate_times(check, at, *out, context.diagnostics);
  out->unhealthy_threshold = check.unhealthy_threshold().value();
  out->healthy_threshold = check.healthy_threshold().value();
  if (check.has_reuse_connection()) out->reuse_connection = check.reuse_connection().value();
  out->exclude_new_endpoints = cluster.common_lb_config().ignore_new_hosts_until_first_hc();
  if (check.has_tcp_health_check()) {
    out->check = translate_tcp(check.tcp_health_check(), join_path(at, "tcp_health_check"), context.diagnostics);
  } else if (check.has_http_health_check()) {
    out->check = translate_http(check.http_health_check(), join_path(at, "http_health_check"), context);
  } else if (check.has_grpc_health_check()) {
    out->check = translate_grpc(check.grpc_health_check(), join_path(at, "grpc_health_check"), context.diagnostics);
  }
  out->protocols = translate_protocols(check, *out);
  translate_log(check, at, *out, context);
  return out;
}

HealthTargets::HealthTargets(const Cluster& cluster, const UpstreamSockets& sockets) : sockets_(sockets) {
  if (cluster.health_checks().empty()) return;
  check_ = cluster.health_checks(0);
  const std::string& host =
      check_->has_grpc_health_check() ? check_->grpc_health_check().authority() : check_->http_health_check().host();
  host_ = as_host(host.empty() ? cluster.name() : host);
}

std::shared_ptr<const config::HealthTarget> HealthTargets::make(const envoy::config::endpoint::v3::Endpoint& source,
                                                                const SocketAddress& address,
                                                                const config::EndpointExtras& extras, const std::string& path,
                                                                Diagnostics& diagnostics) const {
  const auto& own = source.health_check_config();
  const std::string own_path = join_path(path, "health_check_config");
  auto out = std::make_shared<config::HealthTarget>();
  out->address = address;
  out->pipe = extras.pipe;
  if (own.has_address()) {
    const auto given = translate_address(own.address(), join_path(own_path, "address"), AddressUse::kEndpoint, diagnostics);
    if (given) out->address = *given;
    out->pipe = own.address().pipe().path();
  }
  if (own.port_value() != 0 && out->pipe.empty()) out->address.port = static_cast<std::uint16_t>(own.port_value());
  if (!check_ || own.disable_active_health_check()) return nullptr;
  out->host = own.hostname().empty() ? host_ : as_host(own.hostname());
  out->tls =
      check_->has_transport_socket_match_criteria() ? sockets_.choose(check_->transport_socket_match_criteria()) : extras.tls;
  return out;
}

}  // namespace millrace::agent
