// What stats_config makes of the statistics that were collected.
#include <algorithm>
#include <utility>

#include "control-agent/admin/stats.h"

namespace millrace::agent {
namespace {

using Range = std::pair<std::size_t, std::size_t>;  // of a name: [first, second)

// `bounds` are some of those that it has.
void show_buckets(const std::vector<double>& bounds, HistogramValue& histogram) {
  std::vector<std::uint64_t> counts(bounds.size() + 1);
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    const bool last = i == histogram.bounds.size();
    const auto at = last ? bounds.end() : std::ranges::lower_bound(bounds, histogram.bounds[i]);
    counts[static_cast<std::size_t>(at - bounds.begin())] += histogram.counts[i];
  }
  histogram.bounds = bounds;
  histogram.counts = std::move(counts);
}

std::string without(const std::string& name, std::vector<Range> removed) {
  std::ranges::sort(removed);
  std::string out;
  std::size_t at = 0;
  for (const auto& [begin, end] : removed) {
    if (begin > at) out.append(name, at, begin - at);
    at = std::max(at, end);
  }
  return at < name.size() ? out.append(name, at) : out;
}

// A family that default tags have made ends as the name does: what they left of `range` is taken out there.
void cut_family(const std::string& name, Range range, std::string& family) {
  const std::size_t length = range.second - range.first;
  const std::size_t from_end = name.size() - range.first;
  if (length == 0 || from_end > family.size()) return;
  const std::size_t begin = family.size() - from_end;
  if (family.compare(begin, length, name, range.first, length) == 0) family.erase(begin, length);
}

void apply_tags_to(const StatsSettings& settings, Stat& stat) {
  if (!settings.default_tags) stat.labels.clear();
  std::vector<Range> removed;
  for (const StatTag& tag : settings.tags) {
    if (std::ranges::find(stat.labels, tag.name, &std::pair<std::string, std::string>::first) != stat.labels.end()) continue;
    if (tag.fixed_value) {
      stat.labels.emplace_back(tag.name, *tag.fixed_value);
    } else if (const auto match = tag.regex->search(stat.name)) {
      stat.labels.emplace_back(tag.name, match->value);
      removed.emplace_back(match->begin, match->end);
    }
  }
  if (!settings.default_tags) {
    stat.family = "envoy_" + without(stat.name, std::move(removed));
    return;
  }
  // From the front: what is taken out there does not move the rest away from the end.
  std::ranges::sort(removed);
  std::size_t done = 0;
  for (const Range& range : removed) {
    if (range.first >= done) cut_family(stat.name, range, stat.family);
    done = std::max(done, range.second);
  }
}

}  // namespace

void apply_settings(const StatsSettings& settings, std::vector<Stat>& stats) {
  std::erase_if(stats, [&](const Stat& stat) { return !settings.has(stat.name); });
  for (Stat& stat : stats) {
    if (stat.kind != StatKind::kHistogram) continue;
    const auto rule =
        std::ranges::find_if(settings.buckets, [&](const StatBuckets& buckets) { return matches(buckets.match, stat.name); });
    if (rule != settings.buckets.end()) show_buckets(rule->bounds, stat.histogram);
  }
}

void apply_tags(const StatsSettings& settings, std::vector<Stat>& stats) {
  if (settings.default_tags && settings.tags.empty()) return;
  for (Stat& stat : stats) {
    if (!stat.name.starts_with("millrace.")) apply_tags_to(settings, stat);
  }
}

}  // namespace millrace::agent
