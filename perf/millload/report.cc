#include "perf/millload/report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::perf {
namespace {

struct Metric {
  const char* name;
  const char* unit;
  double value;
};

double microseconds(Duration duration) { return static_cast<double>(duration.to_nanoseconds()) / 1e3; }

std::vector<Metric> metrics_of(const Measurement& measurement) {
  const Observed& observed = *measurement.observed;
  const LoopFigures& loop = measurement.loop;
  const auto requests = static_cast<double>(observed.requests);
  const double per_second = requests / loop.seconds;
  std::vector<Metric> metrics = {
      {"requests_per_second", "1/s", per_second},
      {"connections_per_second", "1/s", static_cast<double>(observed.connects) / loop.seconds},
      {"gbit_per_second", "Gbit/s",
       per_second * static_cast<double>(measurement.load.request_bytes + measurement.load.response_bytes) * 8 / 1e9},
      {"errors", "count", static_cast<double>(observed.refused)},
      {"mean_us", "us", microseconds(observed.latency.mean())},
      {"p50_us", "us", microseconds(observed.latency.quantile(0.5))},
      {"p90_us", "us", microseconds(observed.latency.quantile(0.9))},
      {"p99_us", "us", microseconds(observed.latency.quantile(0.99))},
      {"p999_us", "us", microseconds(observed.latency.quantile(0.999))},
      {"max_us", "us", microseconds(observed.latency.max())},
      {"undisturbed_p99_us", "us", microseconds(observed.undisturbed.quantile(0.99))},
      {"undisturbed_p999_us", "us", microseconds(observed.undisturbed.quantile(0.999))},
      {"generator_busy_share", "1", loop.busy_share},
      {"generator_gaps", "count", static_cast<double>(loop.gaps)},
  };
  if (measurement.gateway && measurement.gateway->requests > 0) {
    const GatewayStats& gateway = *measurement.gateway;
    const auto cycles = static_cast<double>(gateway.busy_cycles);
    const auto served = static_cast<double>(gateway.requests);
    metrics.push_back({"requests_per_core_second", "1/s", served / (cycles / loop.tsc_hertz)});
    metrics.push_back({"busy_cycles_per_request", "TSC cycles", cycles / served});
    if (gateway.instructions) {
      metrics.push_back({"instructions_per_request", "1", static_cast<double>(*gateway.instructions) / served});
    }
    for (const auto& [name, fraction] :
         {std::pair("turn_p50_us", 0.5), std::pair("turn_p99_us", 0.99), std::pair("turn_max_us", 1.0)}) {
      metrics.push_back({name, "us", static_cast<double>(gateway.turn_quantile_microseconds(fraction))});
    }
    metrics.push_back({"packets_per_request", "1", static_cast<double>(gateway.packets) / served});
    metrics.push_back(
        {"packets_per_busy_turn", "1", static_cast<double>(gateway.packets) / static_cast<double>(gateway.busy_turns)});
    metrics.push_back({"gateway_busy_share", "1", cycles / (loop.tsc_hertz * loop.seconds)});
    if (measurement.load.response_bytes + measurement.load.request_bytes > 0) {
      const auto bytes = static_cast<double>(measurement.load.response_bytes + measurement.load.request_bytes);
      metrics.push_back({"busy_cycles_per_byte", "TSC cycles", cycles / served / bytes});
    }
    metrics.push_back({"resident_bytes", "bytes", static_cast<double>(gateway.resident_bytes)});
  }
  if (const Observed* later = measurement.later) {
    metrics.push_back({"later_requests", "count", static_cast<double>(later->requests)});
    metrics.push_back({"later_errors", "count", static_cast<double>(later->refused)});
    metrics.push_back({"later_p50_us", "us", microseconds(later->latency.quantile(0.5))});
    metrics.push_back({"later_p99_us", "us", microseconds(later->latency.quantile(0.99))});
    metrics.push_back({"later_p999_us", "us", microseconds(later->latency.quantile(0.999))});
  }
  return metrics;
}

template <typename... Values>
std::string line(const char* format, Values... values) {
  std::array<char, 256> text{};
  std::snprintf(text.data(), text.size(), format, values...);
  return text.data();
}

}  // namespace

std::string to_text(const Measurement& measurement) {
  const Observed& observed = *measurement.observed;
  const LoopFigures& loop = measurement.loop;
  if (loop.seconds <= 0) return "VOID, nothing was measured: " + measurement.error + "\n";
  std::map<std::string_view, double> value;
  for (const Metric& metric : metrics_of(measurement)) value[metric.name] = metric.value;
  const auto requests = static_cast<double>(std::max<std::uint64_t>(observed.requests, 1));
  std::string text;
  text += line("%s over %s: %llu requests in %.2f s: %.0f/s, %.3f Gbit/s of bodies; %.0f connections/s; %.0f errors\n",
               measurement.case_name.c_str(), measurement.path.c_str(), static_cast<unsigned long long>(observed.requests),
               loop.seconds, value["requests_per_second"], value["gbit_per_second"], value["connections_per_second"],
               value["errors"]);
  text += line("latency  min %.1f  mean %.1f  p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f us\n",
               microseconds(observed.latency.min()), value["mean_us"], value["p50_us"], value["p90_us"], value["p99_us"],
               value["p999_us"], value["max_us"]);
  text +=
      line("         p99 %.1f  p99.9 %.1f us without what was under way in the generator's own %.0f gaps, the longest %.0f us\n",
           value["undisturbed_p99_us"], value["undisturbed_p999_us"], value["generator_gaps"], microseconds(loop.longest_gap));
  text += line("generator busy %.0f%% of the time; %.2f packets received and %.2f sent per request\n",
               value["generator_busy_share"] * 100, static_cast<double>(loop.packets_received) / requests,
               static_cast<double>(loop.packets_sent) / requests);
  if (value.contains("requests_per_core_second")) {
    text += line(
        "gateway  %.0f requests per core-second, %.0f busy cycles each, %.1f packets in a busy turn, busy %.0f%% of the time\n",
        value["requests_per_core_second"], value["busy_cycles_per_request"], value["packets_per_busy_turn"],
        value["gateway_busy_share"] * 100);
    text += line("         busy turns took at most %.0f us (half of them), %.0f us (99%%), %.0f us (all)\n", value["turn_p50_us"],
                 value["turn_p99_us"], value["turn_max_us"]);
    if (value.contains("instructions_per_request")) {
      text += line("         %.0f instructions per request, idle turns included\n", value["instructions_per_request"]);
    }
  }
  if (measurement.later != nullptr) {
    text += line("later    %.0f requests, %.0f errors: p50 %.1f  p99 %.1f  p99.9 %.1f us\n", value["later_requests"],
                 value["later_errors"], value["later_p50_us"], value["later_p99_us"], value["later_p999_us"]);
  }
  if (!measurement.valid) text += "VOID: " + measurement.error + "\n";
  return text;
}

nlohmann::ordered_json to_records(const Measurement& measurement) {
  auto records = nlohmann::ordered_json::array();
  if (measurement.loop.seconds <= 0) return records;
  for (const Metric& metric : metrics_of(measurement)) {
    records.push_back({{"case", measurement.case_name},
                       {"path", measurement.path},
                       {"subject", measurement.subject},
                       {"metric", metric.name},
                       {"unit", metric.unit},
                       {"value", metric.value}});
  }
  return records;
}

}  // namespace millrace::perf
