#include "control-agent/validate_rules.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "control-agent/loader.h"
#include "control-agent/loader_values.h"
#include "control-agent/rule_checks.h"
#include "control-agent/scalars.h"

namespace millrace::agent {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using validate::FieldRules;

namespace {

constexpr int kMaxDepth = 200;
constexpr int kOneValue = -1;  // in place of an index: the field is not repeated

class RuleWalk {
 public:
  explicit RuleWalk(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}
  void message(const Message& message, const std::string& path);

 private:
  void field(const Message& owner, const FieldDescriptor& field, const std::string& path);
  void list(const Message& owner, const FieldDescriptor& field, const FieldRules& rules, const std::string& path);
  void map(const Message& owner, const FieldDescriptor& field, const FieldRules& rules, const std::string& path);
  void value(const Message& owner, const FieldDescriptor& field, int index, const FieldRules& rules, const std::string& path);
  void message_value(const Message& content, const FieldRules& rules, const std::string& path);
  void any(const google::protobuf::Any& any, const std::string& path);
  void report(const std::string& path, std::string reason) {
    if (!reason.empty()) diagnostics_.error(path, std::move(reason));
  }

  Diagnostics& diagnostics_;
  int depth_ = 0;
};

bool is_wrapper(const Descriptor& type) {
  return type.well_known_type() >= Descriptor::WELLKNOWNTYPE_DOUBLEVALUE &&
         type.well_known_type() <= Descriptor::WELLKNOWNTYPE_BOOLVALUE;
}

std::int64_t to_nanoseconds(std::int64_t seconds, std::int32_t nanos) {
  constexpr std::int64_t kLimit = std::int64_t{9'000'000'000};  // seconds; within it nothing overflows, beyond it order is kept
  return std::clamp(seconds, -kLimit, kLimit) * 1'000'000'000 + nanos;
}

std::string check_duration(const validate::DurationRules& rules, const google::protobuf::Duration& value) {
  if (value.seconds() > 315'576'000'000 || value.seconds() < -315'576'000'000 || value.nanos() > 999'999'999 ||
      value.nanos() < -999'999'999 || (value.seconds() > 0 && value.nanos() < 0) || (value.seconds() < 0 && value.nanos() > 0)) {
    return "is not a valid duration";
  }
  return check_ordered<std::int64_t>(
      rules, to_nanoseconds(value.seconds(), value.nanos()),
      [](const google::protobuf::Duration& d) { return to_nanoseconds(d.seconds(), d.nanos()); },
      [](std::int64_t n) { return print_duration(n / 1'000'000'000, static_cast<std::int32_t>(n % 1'000'000'000)); });
}

/// The rules that need a clock (lt_now, gt_now, within) do not occur in the API and are not checked.
std::string check_timestamp(const validate::TimestampRules& rules, const google::protobuf::Timestamp& value) {
  const auto at = [](const google::protobuf::Timestamp& t) { return to_nanoseconds(t.seconds(), t.nanos()); };
  const auto text = [](std::int64_t n) {
    return print_duration(n / 1'000'000'000, static_cast<std::int32_t>(n % 1'000'000'000));
  };
  if (rules.has_const_() && at(value) != at(rules.const_())) return "must be " + text(at(rules.const_())) + " after the epoch";
  return check_range<std::int64_t>(rules.has_gt() || rules.has_gte(), rules.has_gte(),
                                   at(rules.has_gte() ? rules.gte() : rules.gt()), rules.has_lt() || rules.has_lte(),
                                   rules.has_lte(), at(rules.has_lte() ? rules.lte() : rules.lt()), at(value), text);
}

std::string check_enum(const validate::EnumRules& rules, const FieldDescriptor& field, int value) {
  const auto name = [&](int number) {
    const auto* known = field.enum_type()->FindValueByNumber(number);
    return known != nullptr ? known->name() : std::to_string(number);
  };
  if (rules.has_const_() && value != rules.const_()) return "must be " + name(rules.const_());
  if (rules.defined_only() && field.enum_type()->FindValueByNumber(value) == nullptr) {
    return std::to_string(value) + " is not a value of " + field.enum_type()->full_name();
  }
  const bool listed = std::ranges::find(rules.in(), value) != rules.in().end();
  if (rules.in_size() > 0 && !listed) {
    std::string allowed;
    for (const int number : rules.in()) allowed += (allowed.empty() ? "" : ", ") + name(number);
    return "must be one of " + allowed + ", is " + name(value);
  }
  if (std::ranges::find(rules.not_in(), value) != rules.not_in().end()) return "must not be " + name(value);
  return {};
}

std::string check_any(const validate::AnyRules& rules, const google::protobuf::Any& any) {
  const auto listed = [&](const auto& types) { return std::ranges::find(types, any.type_url()) != types.end(); };
  if (rules.in_size() > 0 && !listed(rules.in())) return "must not hold a " + any.type_url();
  if (listed(rules.not_in())) return "must not hold a " + any.type_url();
  return {};
}

/// One scalar by its kind. `index` is kOneValue or the place in a list.
std::string check_scalar(const Message& owner, const FieldDescriptor& field, int index, const FieldRules& rules) {
  const Reflection& r = *owner.GetReflection();
  const bool one = index == kOneValue;
  const auto i32 = [&] { return one ? r.GetInt32(owner, &field) : r.GetRepeatedInt32(owner, &field, index); };
  const auto i64 = [&] { return one ? r.GetInt64(owner, &field) : r.GetRepeatedInt64(owner, &field, index); };
  const auto u32 = [&] { return one ? r.GetUInt32(owner, &field) : r.GetRepeatedUInt32(owner, &field, index); };
  const auto u64 = [&] { return one ? r.GetUInt64(owner, &field) : r.GetRepeatedUInt64(owner, &field, index); };
  const auto text = [&] { return one ? r.GetString(owner, &field) : r.GetRepeatedString(owner, &field, index); };
  switch (rules.type_case()) {
    case FieldRules::kFloat:
      return check_number<float>(rules.float_(), one ? r.GetFloat(owner, &field) : r.GetRepeatedFloat(owner, &field, index));
    case FieldRules::kDouble:
      return check_number<double>(rules.double_(), one ? r.GetDouble(owner, &field) : r.GetRepeatedDouble(owner, &field, index));
    case FieldRules::kInt32: return check_number<std::int32_t>(rules.int32(), i32());
    case FieldRules::kSint32: return check_number<std::int32_t>(rules.sint32(), i32());
    case FieldRules::kSfixed32: return check_number<std::int32_t>(rules.sfixed32(), i32());
    case FieldRules::kInt64: return check_number<std::int64_t>(rules.int64(), i64());
    case FieldRules::kSint64: return check_number<std::int64_t>(rules.sint64(), i64());
    case FieldRules::kSfixed64: return check_number<std::int64_t>(rules.sfixed64(), i64());
    case FieldRules::kUint32: return check_number<std::uint32_t>(rules.uint32(), u32());
    case FieldRules::kFixed32: return check_number<std::uint32_t>(rules.fixed32(), u32());
    case FieldRules::kUint64: return check_number<std::uint64_t>(rules.uint64(), u64());
    case FieldRules::kFixed64: return check_number<std::uint64_t>(rules.fixed64(), u64());
    case FieldRules::kBool: {
      const bool value = one ? r.GetBool(owner, &field) : r.GetRepeatedBool(owner, &field, index);
      return rules.bool_().has_const_() && value != rules.bool_().const_() ? std::string("must be ") + (value ? "false" : "true")
                                                                           : "";
    }
    case FieldRules::kString: return check_string(rules.string(), text());
    case FieldRules::kBytes: return check_bytes(rules.bytes(), text());
    case FieldRules::kEnum:
      return check_enum(rules.enum_(), field, one ? r.GetEnumValue(owner, &field) : r.GetRepeatedEnumValue(owner, &field, index));
    default: return {};
  }
}

bool is_required(const FieldRules& rules) {
  return rules.message().required() || (rules.has_duration() && rules.duration().required()) ||
         (rules.has_timestamp() && rules.timestamp().required()) || (rules.has_any() && rules.any().required());
}

void RuleWalk::message(const Message& message, const std::string& path) {
  const Descriptor& type = *message.GetDescriptor();
  if (type.options().GetExtension(validate::disabled) || type.options().GetExtension(validate::ignored)) return;
  if (diagnostics_.full() || depth_ >= kMaxDepth) return;
  ++depth_;
  for (int i = 0; i < type.real_oneof_decl_count(); ++i) {
    const auto& oneof = *type.oneof_decl(i);
    if (!oneof.options().GetExtension(validate::required) || message.GetReflection()->HasOneof(message, &oneof)) continue;
    std::string names;
    for (int k = 0; k < oneof.field_count(); ++k) names += (k == 0 ? "" : ", ") + oneof.field(k)->name();
    report(path, "one of " + names + " must be set");
  }
  for (int i = 0; i < type.field_count(); ++i) field(message, *type.field(i), join_path(path, type.field(i)->name()));
  --depth_;
}

void RuleWalk::field(const Message& owner, const FieldDescriptor& field, const std::string& path) {
  const FieldRules& rules = field.options().GetExtension(validate::rules);
  if (field.is_map()) return map(owner, field, rules, path);
  if (field.is_repeated()) return list(owner, field, rules, path);
  if (field.has_presence() && !owner.GetReflection()->HasField(owner, &field)) {
    // A member of a oneof need not be the one that is chosen.
    const bool alone = field.real_containing_oneof() == nullptr;
    if (alone && field.message_type() != nullptr && is_required(rules)) report(path, "must be set");
    return;
  }
  value(owner, field, kOneValue, rules, path);
}

// Of a rule that later versions of the API have given up, and that control planes do not keep any more: without resolvers those
// of the system are asked.
bool may_be_empty(const FieldDescriptor& field) {
  return field.full_name() == "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig.resolvers";
}

void RuleWalk::list(const Message& owner, const FieldDescriptor& field, const FieldRules& all, const std::string& path) {
  const auto& rules = all.repeated();
  const int size = owner.GetReflection()->FieldSize(owner, &field);
  const auto count = static_cast<std::uint64_t>(size);
  if (!((rules.ignore_empty() || may_be_empty(field)) && size == 0)) {
    const auto items = [](std::uint64_t n) { return std::to_string(n) + (n == 1 ? " item" : " items"); };
    if (rules.has_min_items() && count < rules.min_items())
      report(path, "must hold at least " + items(rules.min_items()) + ", holds " + std::to_string(count));
    if (rules.has_max_items() && count > rules.max_items())
      report(path, "must hold at most " + items(rules.max_items()) + ", holds " + std::to_string(count));
  }
  std::set<std::string> seen;
  for (int i = 0; i < size; ++i) {
    const auto element_path = index_path(path, static_cast<std::size_t>(i));
    if (rules.unique() && field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      if (!seen.insert(owner.GetReflection()->GetRepeatedString(owner, &field, i)).second)
        report(element_path, "must differ from the items before it");
    }
    value(owner, field, i, rules.items(), element_path);
  }
}

void RuleWalk::map(const Message& owner, const FieldDescriptor& field, const FieldRules& all, const std::string& path) {
  const auto& rules = all.map();
  const Reflection& reflection = *owner.GetReflection();
  const int size = reflection.FieldSize(owner, &field);
  const auto count = static_cast<std::uint64_t>(size);
  if (!(rules.ignore_empty() && size == 0)) {
    if (rules.has_min_pairs() && count < rules.min_pairs())
      report(path, "must hold at least " + std::to_string(rules.min_pairs()) + " entries");
    if (rules.has_max_pairs() && count > rules.max_pairs())
      report(path, "must hold at most " + std::to_string(rules.max_pairs()) + " entries");
  }
  for (int i = 0; i < size; ++i) {
    const Message& entry = reflection.GetRepeatedMessage(owner, &field, i);
    const auto& key_field = *field.message_type()->map_key();
    const bool text = key_field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    const auto entry_path = text ? key_path(path, entry.GetReflection()->GetString(entry, &key_field))
                                 : index_path(path, static_cast<std::size_t>(i));
    auto reason = check_scalar(entry, key_field, kOneValue, rules.keys());
    if (!reason.empty()) report(entry_path, "the key " + reason);
    value(entry, *field.message_type()->map_value(), kOneValue, rules.values(), entry_path);
  }
}

void RuleWalk::value(const Message& owner, const FieldDescriptor& field, int index, const FieldRules& rules,
                     const std::string& path) {
  if (field.message_type() == nullptr) return report(path, check_scalar(owner, field, index, rules));
  const Reflection& r = *owner.GetReflection();
  message_value(index == kOneValue ? r.GetMessage(owner, &field) : r.GetRepeatedMessage(owner, &field, index), rules, path);
}

void RuleWalk::message_value(const Message& content, const FieldRules& rules, const std::string& path) {
  const Descriptor& type = *content.GetDescriptor();
  if (is_wrapper(type)) return report(path, check_scalar(content, *type.FindFieldByName("value"), kOneValue, rules));
  switch (type.well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_DURATION:
      return report(path, check_duration(rules.duration(), static_cast<const google::protobuf::Duration&>(content)));
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      return report(path, check_timestamp(rules.timestamp(), static_cast<const google::protobuf::Timestamp&>(content)));
    case Descriptor::WELLKNOWNTYPE_ANY:
      report(path, check_any(rules.any(), static_cast<const google::protobuf::Any&>(content)));
      return any(static_cast<const google::protobuf::Any&>(content), path);
    case Descriptor::WELLKNOWNTYPE_UNSPECIFIED:
      if (!rules.message().skip()) message(content, path);
      return;
    default: return;
  }
}

void RuleWalk::any(const google::protobuf::Any& any, const std::string& path) {
  const Descriptor* type = find_any_type(any.type_url());
  if (type == nullptr) return;
  const std::unique_ptr<Message> content(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  if (!content->ParsePartialFromString(any.value())) return report(path, "does not hold a valid " + type->full_name());
  if (type->well_known_type() == Descriptor::WELLKNOWNTYPE_UNSPECIFIED) message(*content, path);
}

}  // namespace

void validate_rules(const Message& message, const std::string& path, Diagnostics& diagnostics) {
  RuleWalk(diagnostics).message(message, path);
}

}  // namespace millrace::agent
