// Answers for control planes that give no answer, out of the last good configuration. Pure: time is an argument.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "control-agent/last_good/last_good.h"
#include "control-agent/xds/xds_message.h"
#include "dataplane/base/time.h"

namespace millrace::agent {

class StandIn {
 public:
  /// So long an open stream may say nothing. One that ends is not waited for.
  static constexpr Duration kPatience = Duration::seconds(5);

  StandIn() = default;  ///< knows nothing, and never speaks
  explicit StandIn(LastGood last_good) : last_good_(std::move(last_good)) {}

  /// Somebody is asked for `kind` from now on. Only the first time counts.
  void on_asked(const KindKey& kind, Instant now);
  /// A stream to `source` has ended.
  void on_closed(const std::string& source);
  /// A response was accepted: who has spoken is believed.
  void on_answered(const KindKey& kind);

  /// Nobody has answered, and will in time.
  [[nodiscard]] bool speaks_for(const KindKey& kind, Instant now) const;
  /// When speaks_for() may become true without another event.
  [[nodiscard]] Instant next_timeout(Instant now) const;

  [[nodiscard]] bool knows(const KindKey& kind) const { return find(kind) != nullptr; }
  [[nodiscard]] bool knows(const KindKey& kind, const std::string& name) const;
  /// Everything that there was, as a response.
  [[nodiscard]] XdsResponse say_all(const KindKey& kind) const;
  /// Those of `names` that there were; the others are removed.
  [[nodiscard]] XdsResponse say(const KindKey& kind, const std::set<std::string>& names) const;

 private:
  struct Asked {
    Instant since;
    bool answered = false;
  };

  [[nodiscard]] bool is_silent(const std::string& source, Instant now) const;
  [[nodiscard]] const LastGood::Kind* find(const KindKey& kind) const;

  LastGood last_good_;
  std::map<KindKey, Asked> asked_;
  std::set<std::string> closed_;  // sources that have said nothing since
};

}  // namespace millrace::agent
