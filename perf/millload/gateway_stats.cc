#include "perf/millload/gateway_stats.h"

#include <httplib.h>

#include <nlohmann/json.hpp>

namespace millrace::perf {

GatewayStats GatewayStats::since(const GatewayStats& before) const {
  return {.busy_cycles = busy_cycles - before.busy_cycles,
          .busy_turns = busy_turns - before.busy_turns,
          .turns = turns - before.turns,
          .requests = requests - before.requests,
          .packets = packets - before.packets,
          .resident_bytes = resident_bytes};
}

std::optional<GatewayStats> fetch_gateway_stats(const std::string& address, std::string& error) {
  httplib::Client client("http://" + address);
  client.set_connection_timeout(2);
  client.set_read_timeout(5);
  const auto answer = client.Get("/stats?format=json");
  if (!answer || answer->status != 200) {
    error = "the gateway's admin server at " + address + " does not answer: --admin must be its address and port";
    return std::nullopt;
  }
  const auto document = nlohmann::json::parse(answer->body, nullptr, false);
  if (!document.is_object() || !document.contains("stats")) {
    error = address + " answers, but not as Millrace's admin server does";
    return std::nullopt;
  }
  GatewayStats stats;
  for (const auto& stat : document["stats"]) {
    if (!stat.contains("name") || !stat["value"].is_number_integer()) continue;
    const std::string name = stat["name"];
    const auto value = stat["value"].get<std::uint64_t>();
    if (name.starts_with("millrace.worker.")) {
      if (name.ends_with(".busy_cycles")) stats.busy_cycles += value;
      if (name.ends_with(".busy_turns")) stats.busy_turns += value;
      if (name.ends_with(".turns") && !name.ends_with(".busy_turns")) stats.turns += value;
    }
    if (name.starts_with("http.") && name.ends_with(".downstream_rq_total")) stats.requests += value;
    if (name.starts_with("millrace.port.") && (name.ends_with(".rx_packets") || name.ends_with(".tx_packets"))) {
      stats.packets += value;
    }
    if (name == "server.memory_physical_size") stats.resident_bytes = value;
  }
  return stats;
}

}  // namespace millrace::perf
