// What the runtime says: keys with values, in layers of which later ones hide earlier ones. Source: Envoy's "Runtime", section
// "Runtime layering"; envoy.config.bootstrap.v3.LayeredRuntime.
#pragma once

#include <google/protobuf/struct.pb.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/model/route_match.h"
#include "control-agent/diagnostics.h"

namespace millrace::agent {

/// Texts by key: "a.b", where "b" stands in a structure "a".
using RuntimeEntries = std::map<std::string, std::string, std::less<>>;

struct RuntimeLayer {
  std::string name;
  RuntimeEntries entries;
};

/// The entries of a layer, which is at `path`. Errors: lists and nulls, and limits of connections that are no whole numbers.
[[nodiscard]] RuntimeEntries read_runtime_layer(const google::protobuf::Struct& layer, const std::string& path,
                                                Diagnostics& diagnostics);

/// May `key` have this text? Keys that limit connections have whole numbers.
[[nodiscard]] bool is_runtime_text(std::string_view key, std::string_view text);

/// What wins among layers. A value.
class RuntimeValues {
 public:
  RuntimeValues() = default;
  explicit RuntimeValues(const std::vector<RuntimeLayer>& layers);

  /// Null: no layer has it, or one says it is empty.
  [[nodiscard]] const std::string* find(std::string_view key) const;
  /// What `key` says, where that can be read as one; else `otherwise`. A whole number is a percentage.
  [[nodiscard]] config::Fraction fraction(std::string_view key, config::Fraction otherwise) const;
  [[nodiscard]] bool flag(std::string_view key, bool otherwise) const;
  [[nodiscard]] std::optional<std::uint64_t> whole_number(std::string_view key) const;

  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  /// Do both say the same of all of `keys`?
  [[nodiscard]] bool agrees_with(const RuntimeValues& other, const std::set<std::string>& keys) const;

 private:
  RuntimeEntries entries_;
};

/// overload.global_downstream_max_connections
inline constexpr std::string_view kGlobalConnectionLimit = "overload.global_downstream_max_connections";
/// envoy.resource_limits.listener.<name>.connection_limit
[[nodiscard]] std::string connection_limit_key(const std::string& listener);

}  // namespace millrace::agent
