#include "dataplane/proxy/policy/metadata.h"

#include <algorithm>

#include "dataplane/proxy/policy/route_matcher.h"

namespace millrace::proxy {

const MetadataValue* MetadataValue::member(std::string_view name) const {
  if (kind != Kind::kStruct) return nullptr;
  const MetadataValue* at = first;
  while (at != nullptr && at->key != name) at = at->next;
  return at;
}

bool Metadata::set(std::string_view filter, const MetadataValue& value, Arena& arena) {
  for (Entry* entry = first_; entry != nullptr; entry = entry->next) {
    if (entry->filter != filter) continue;
    entry->value = &value;
    return true;
  }
  void* memory = arena.allocate(sizeof(Entry), alignof(Entry));
  if (memory == nullptr) return false;
  first_ = ::new (memory) Entry{filter, &value, first_};
  return true;
}

const MetadataValue* Metadata::find(std::string_view filter) const {
  for (const Entry* entry = first_; entry != nullptr; entry = entry->next) {
    if (entry->filter == filter) return entry->value;
  }
  return nullptr;
}

bool matches(const config::MetadataMatcher& matcher, const Metadata& metadata, std::uint32_t worker) {
  const MetadataValue* value = metadata.find(matcher.filter);
  for (const std::string& key : matcher.path) value = value == nullptr ? nullptr : value->member(key);
  return matches(matcher.value, value, worker) != matcher.invert;
}

bool matches(const config::ValueMatcher& matcher, const MetadataValue* value, std::uint32_t worker) {
  using Kind = config::ValueMatcher::Kind;
  using Value = MetadataValue::Kind;
  const auto is = [value](Value kind) { return value != nullptr && value->kind == kind; };
  switch (matcher.kind) {
    case Kind::kNull: return is(Value::kNull);
    case Kind::kNumber: return is(Value::kNumber) && value->number == matcher.start;
    case Kind::kRange: return is(Value::kNumber) && value->number >= matcher.start && value->number < matcher.end;
    case Kind::kString: return is(Value::kString) && matches(matcher.string, value->text, worker);
    case Kind::kBool: return is(Value::kBool) && value->boolean == matcher.boolean;
    case Kind::kPresent: return (value != nullptr) == matcher.boolean;
    case Kind::kListOneOf:
      if (!is(Value::kList)) return false;
      for (const MetadataValue* element = value->first; element != nullptr; element = element->next) {
        if (matches(matcher.others.front(), element, worker)) return true;
      }
      return false;
    case Kind::kOr: return std::ranges::any_of(matcher.others, [&](const auto& other) { return matches(other, value, worker); });
  }
  return false;
}

}  // namespace millrace::proxy
