// A measurement as text for people and as records for programs.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "perf/millload/gateway_stats.h"
#include "perf/millload/generator.h"

namespace millrace::perf {

struct Measurement {
  std::string case_name;
  std::string path;     ///< "memif", "tap", ...
  std::string subject;  ///< whom the requests went through
  LoadConfig load;
  LoopFigures loop;
  const Observed* observed = nullptr;
  const Observed* later = nullptr;      ///< of Course::later; null: there was none
  std::optional<GatewayStats> gateway;  ///< of the time observed
  bool valid = false;
  std::string error;  ///< why it is not
};

/// Several lines.
[[nodiscard]] std::string to_text(const Measurement& measurement);
/// An array of {case, path, subject, metric, unit, value}.
[[nodiscard]] nlohmann::ordered_json to_records(const Measurement& measurement);

}  // namespace millrace::perf
