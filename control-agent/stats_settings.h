// What stats_config says: which statistics there are, how Prometheus names them, which buckets histograms show. Plain data;
// applied by the admin pages when somebody reads statistics.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/model/matcher.h"
#include "control-agent/tag_regex.h"

namespace envoy::config::bootstrap::v3 {
class Bootstrap;
}

namespace millrace::agent {

class Diagnostics;

/// A label of Prometheus: always there with a fixed value, or found in the name.
struct StatTag {
  std::string name;
  std::optional<std::string> fixed_value;
  std::shared_ptr<const TagRegex> regex;  ///< null: it is fixed
};

/// Upper bounds of the buckets of the histograms whose name matches, ascending: a part of report::Histogram::kBounds.
struct StatBuckets {
  config::StringMatcher match;
  std::vector<double> bounds;
};

struct StatsSettings {
  enum class Choice : std::uint8_t { kAll, kNone, kOnly, kExcept };
  bool default_tags = true;  ///< labels as Envoy's default tags make them
  std::vector<StatTag> tags = {};
  Choice choice = Choice::kAll;
  std::vector<config::StringMatcher> patterns = {};  ///< what kOnly and kExcept are about
  std::vector<StatBuckets> buckets = {};             ///< the first that matches counts

  [[nodiscard]] bool has(std::string_view name) const;
};

/// Whether a name of a statistic fits. An expression has to match all of it, as in Envoy.
[[nodiscard]] bool matches(const config::StringMatcher& matcher, std::string_view name);

/// Errors go to `diagnostics`.
[[nodiscard]] StatsSettings translate_stats(const envoy::config::bootstrap::v3::Bootstrap& bootstrap, Diagnostics& diagnostics);

}  // namespace millrace::agent
