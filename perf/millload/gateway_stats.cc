#include "perf/millload/gateway_stats.h"

#include <httplib.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

namespace millrace::perf {

namespace {

constexpr std::uint64_t kNoBound = ~std::uint64_t{0};

// "millrace.worker.0.busy_turn_us.64"
std::optional<std::uint64_t> turn_bound(const std::string& name) {
  constexpr std::string_view kPart = ".busy_turn_us.";
  const std::size_t at = name.find(kPart);
  if (at == std::string::npos) return std::nullopt;
  const std::string bound = name.substr(at + kPart.size());
  return bound == "more" ? kNoBound : std::strtoull(bound.c_str(), nullptr, 10);
}

}  // namespace

GatewayStats GatewayStats::since(const GatewayStats& before) const {
  GatewayStats difference{.busy_cycles = busy_cycles - before.busy_cycles,
                          .instructions = {},
                          .busy_turns_upto = busy_turns_upto,
                          .busy_turns = busy_turns - before.busy_turns,
                          .turns = turns - before.turns,
                          .requests = requests - before.requests,
                          .packets = packets - before.packets,
                          .resident_bytes = resident_bytes};
  if (instructions && before.instructions) difference.instructions = *instructions - *before.instructions;
  for (const auto& [bound, count] : before.busy_turns_upto) difference.busy_turns_upto[bound] -= count;
  return difference;
}

std::uint64_t GatewayStats::turn_quantile_microseconds(double fraction) const {
  std::uint64_t all = 0;
  for (const auto& [bound, count] : busy_turns_upto) all += count;
  std::uint64_t seen = 0;
  std::uint64_t largest = 0;
  for (const auto& [bound, count] : busy_turns_upto) {
    if (bound != kNoBound) largest = bound;
    seen += count;
    if (static_cast<double>(seen) >= fraction * static_cast<double>(all)) break;
  }
  return largest;
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
      if (name.ends_with(".instructions")) stats.instructions = stats.instructions.value_or(0) + value;
      if (const auto bound = turn_bound(name)) stats.busy_turns_upto[*bound] += value;
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
