// Values that the filters of a stream leave for each other, for routes and for the access log: Envoy's dynamic metadata. Trees as
// in JSON, in the stream's arena, one under each filter's name.
#pragma once

#include <cstdint>
#include <string_view>

#include "config/model/metadata_matcher.h"
#include "dataplane/base/arena.h"

namespace millrace::proxy {

/// As google.protobuf.Value. Immutable once it is in a Metadata; texts live as long as the arena.
struct MetadataValue {
  enum class Kind : std::uint8_t { kNull, kBool, kNumber, kString, kList, kStruct };
  Kind kind = Kind::kNull;
  bool boolean = false;
  double number = 0;
  std::string_view text = {};            ///< of kString
  std::string_view key = {};             ///< as a member of a struct
  const MetadataValue* first = nullptr;  ///< of a list's elements or a struct's members
  const MetadataValue* next = nullptr;   ///< behind this one in its list or struct

  /// A struct's member; null: there is none, or this is no struct.
  [[nodiscard]] const MetadataValue* member(std::string_view name) const;
};

/// Trivially destructible: all of it is the arena's.
class Metadata {
 public:
  /// Sets the struct of a filter, in place of an earlier one. False: no memory.
  [[nodiscard]] bool set(std::string_view filter, const MetadataValue& value, Arena& arena);
  /// Null: that filter has left nothing.
  [[nodiscard]] const MetadataValue* find(std::string_view filter) const;

 private:
  struct Entry {
    std::string_view filter;
    const MetadataValue* value;
    Entry* next;
  };
  Entry* first_ = nullptr;
};

/// `worker`: which program of a regex is ours.
[[nodiscard]] bool matches(const config::MetadataMatcher& matcher, const Metadata& metadata, std::uint32_t worker);
/// Null: the value is not there.
[[nodiscard]] bool matches(const config::ValueMatcher& matcher, const MetadataValue* value, std::uint32_t worker);

}  // namespace millrace::proxy
