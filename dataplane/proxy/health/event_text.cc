#include "dataplane/proxy/health/event_text.h"

#include <array>
#include <string_view>
#include <variant>

#include "dataplane/base/hex.h"
#include "dataplane/proxy/policy/format.h"
#include "dataplane/proxy/policy/text_writer.h"

namespace millrace::proxy {
namespace {

void put_string(TextWriter& out, std::string_view text) {
  out.put("\"");
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.put("\\");
      out.put({&c, 1});
    } else if (byte < 0x20) {
      const auto digits = hex_digits(byte);
      out.put("\\u00");
      out.put({digits.data(), digits.size()});
    } else {
      out.put({&c, 1});
    }
  }
  out.put("\"");
}

void put_member(TextWriter& out, std::string_view name, std::string_view value) {
  out.put("\"");
  out.put(name);
  out.put("\":");
  put_string(out, value);
}

void put_host(TextWriter& out, const config::Endpoint& endpoint) {
  const SocketAddress& address = endpoint.address;
  if (!endpoint.extras().pipe.empty()) {
    out.put("\"host\":{\"pipe\":{");
    put_member(out, "path", endpoint.extras().pipe);
    out.put(",\"mode\":0}}");
    return;
  }
  out.put("\"host\":{\"socket_address\":{\"protocol\":\"TCP\",\"address\":\"");
  out.put_address(address.ip);
  out.put("\",\"port_value\":");
  out.put_number(address.port);
  out.put(",\"resolver_name\":\"\",\"ipv4_compat\":false}}");
}

std::string_view type_of(const config::HealthCheck& settings) {
  if (std::holds_alternative<config::GrpcHealthCheck>(settings.check)) return "GRPC";
  return std::holds_alternative<config::TcpHealthCheck>(settings.check) ? "TCP" : "HTTP";
}

std::string_view name_of(CheckEvent event) {
  switch (event) {
    case CheckEvent::kEject: return "eject_unhealthy_event";
    case CheckEvent::kAdd: return "add_healthy_event";
    case CheckEvent::kSuccess: return "successful_health_check_event";
    case CheckEvent::kFailure: return "health_check_failure_event";
    case CheckEvent::kDegraded: return "degraded_healthy_host";
    case CheckEvent::kNoLongerDegraded: break;
  }
  return "no_longer_degraded_host";
}

std::string_view name_of(CheckFailure failure) {
  switch (failure) {
    case CheckFailure::kActive: return "ACTIVE";
    case CheckFailure::kPassive: return "PASSIVE";
    case CheckFailure::kNetwork: return "NETWORK";
    case CheckFailure::kNetworkTimeout: break;
  }
  return "NETWORK_TIMEOUT";
}

void put_event(TextWriter& out, const CheckEventFacts& facts) {
  const bool has_failure = facts.event == CheckEvent::kEject || facts.event == CheckEvent::kFailure;
  const bool has_first = facts.event == CheckEvent::kAdd || facts.event == CheckEvent::kFailure;
  out.put("\"");
  out.put(name_of(facts.event));
  out.put("\":{");
  if (has_failure) put_member(out, "failure_type", name_of(facts.failure));
  if (has_failure && has_first) out.put(",");
  if (has_first) out.put(facts.first ? "\"first_check\":true" : "\"first_check\":false");
  out.put("}");
}

void put_locality(TextWriter& out, const config::Cluster& cluster, const config::Endpoint& endpoint) {
  const config::Locality& locality = config::locality_of(cluster, endpoint);
  out.put("\"locality\":{");
  put_member(out, "region", locality.region);
  out.put(",");
  put_member(out, "zone", locality.zone);
  out.put(",");
  put_member(out, "sub_zone", locality.sub_zone);
  out.put("}");
}

}  // namespace

std::size_t write_check_event(const CheckEventFacts& facts, const config::Cluster& cluster, const config::Endpoint& endpoint,
                              std::span<char> out) {
  TextWriter line(out.first(out.size() - 1));
  line.put("{");
  put_member(line, "health_checker_type", type_of(*cluster.health_check));
  line.put(",");
  put_host(line, endpoint);
  line.put(",");
  put_member(line, "cluster_name", cluster.name);
  line.put(",");
  put_event(line, facts);
  line.put(",");
  std::array<char, 64> time;
  put_member(line, "timestamp", {time.data(), format_time(facts.wall_nanoseconds, {}, time)});
  line.put(",");
  put_locality(line, cluster, endpoint);
  line.put("}");
  out[line.size()] = '\n';
  return line.size() + 1;
}

}  // namespace millrace::proxy
