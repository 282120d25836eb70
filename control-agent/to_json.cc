#include "control-agent/to_json.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/field_mask_util.h>
#include <google/protobuf/util/time_util.h>

#include <charconv>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control-agent/loader.h"
#include "control-agent/scalars.h"
#include "udpa/annotations/sensitive.pb.h"

namespace millrace::agent {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using nlohmann::ordered_json;

namespace {

constexpr int kMaxDepth = 100;

constexpr std::string_view kRedacted = "[redacted]";

/// Where a value stands.
struct Place {
  int depth = 0;
  bool secret = false;  ///< in a field that is udpa.annotations.sensitive, as deep as may be

  [[nodiscard]] Place inside() const { return {depth + 1, secret}; }
  [[nodiscard]] Place of(const FieldDescriptor& field) const {
    return {depth, secret || field.options().GetExtension(udpa::annotations::sensitive)};
  }
};

ordered_json message_to_json(const Message& message, Place place);

ordered_json real_to_json(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

/// A float as the shortest decimal that reads back as it, not as the double that it widens to.
ordered_json float_to_json(float value) {
  if (!std::isfinite(value)) return real_to_json(value);
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  double wide = 0;
  std::from_chars(text, end, wide);
  return wide;
}

ordered_json enum_to_json(const FieldDescriptor& field, int number) {
  if (field.enum_type()->full_name() == "google.protobuf.NullValue") return nullptr;
  const auto* value = field.enum_type()->FindValueByNumber(number);
  return value != nullptr ? ordered_json(value->name()) : ordered_json(number);
}

ordered_json text_to_json(const FieldDescriptor& field, const std::string& text, Place place) {
  const std::string_view shown = place.secret ? kRedacted : std::string_view(text);
  return field.type() == FieldDescriptor::TYPE_BYTES ? encode_base64(shown) : std::string(shown);
}

/// Of secrets, texts say that they were there; the rest says nothing, as Envoy's dump.
bool is_shown(const FieldDescriptor& field, Place place) {
  return !place.secret || field.cpp_type() == FieldDescriptor::CPPTYPE_STRING ||
         field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
}

/// The value of a singular field, or element `index` of a repeated one (index -1: singular).
ordered_json value_to_json(const Message& owner, const FieldDescriptor& field, int index, Place place) {
  const auto& r = *owner.GetReflection();
  const bool one = index < 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: return one ? r.GetInt32(owner, &field) : r.GetRepeatedInt32(owner, &field, index);
    case FieldDescriptor::CPPTYPE_UINT32: return one ? r.GetUInt32(owner, &field) : r.GetRepeatedUInt32(owner, &field, index);
    case FieldDescriptor::CPPTYPE_INT64:
      return std::to_string(one ? r.GetInt64(owner, &field) : r.GetRepeatedInt64(owner, &field, index));
    case FieldDescriptor::CPPTYPE_UINT64:
      return std::to_string(one ? r.GetUInt64(owner, &field) : r.GetRepeatedUInt64(owner, &field, index));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return real_to_json(one ? r.GetDouble(owner, &field) : r.GetRepeatedDouble(owner, &field, index));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return float_to_json(one ? r.GetFloat(owner, &field) : r.GetRepeatedFloat(owner, &field, index));
    case FieldDescriptor::CPPTYPE_BOOL: return one ? r.GetBool(owner, &field) : r.GetRepeatedBool(owner, &field, index);
    case FieldDescriptor::CPPTYPE_ENUM:
      return enum_to_json(field, one ? r.GetEnumValue(owner, &field) : r.GetRepeatedEnumValue(owner, &field, index));
    case FieldDescriptor::CPPTYPE_STRING:
      return text_to_json(field, one ? r.GetString(owner, &field) : r.GetRepeatedString(owner, &field, index), place);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return message_to_json(one ? r.GetMessage(owner, &field) : r.GetRepeatedMessage(owner, &field, index), place.inside());
  }
  return nullptr;
}

ordered_json map_to_json(const Message& owner, const FieldDescriptor& field, Place place) {
  const auto& reflection = *owner.GetReflection();
  std::map<std::string, ordered_json> sorted;  // protobuf keeps no order: the same message shall give the same text
  for (int i = 0; i < reflection.FieldSize(owner, &field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(owner, &field, i);
    const auto key = value_to_json(entry, *field.message_type()->map_key(), -1, {place.depth});
    sorted[key.is_string() ? key.get<std::string>() : key.dump()] =
        value_to_json(entry, *field.message_type()->map_value(), -1, place);
  }
  ordered_json out = ordered_json::object();
  for (auto& [key, value] : sorted) out[key] = std::move(value);
  return out;
}

void fields_to_json(const Message& message, ordered_json& out, Place place) {
  const auto& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const auto* field : fields) {
    const Place there = place.of(*field);
    if (!is_shown(*field, there)) continue;
    if (field->is_map()) {
      out[field->name()] = map_to_json(message, *field, there);
    } else if (field->is_repeated()) {
      auto list = ordered_json::array();
      for (int i = 0; i < reflection.FieldSize(message, field); ++i) list.push_back(value_to_json(message, *field, i, there));
      out[field->name()] = std::move(list);
    } else {
      out[field->name()] = value_to_json(message, *field, -1, there);
    }
  }
}

ordered_json any_to_json(const google::protobuf::Any& any, Place place) {
  ordered_json out = {{"@type", any.type_url()}};
  const Descriptor* type = find_any_type(any.type_url());
  std::unique_ptr<Message> content;
  if (type != nullptr) content.reset(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  if (content == nullptr || !content->ParsePartialFromString(any.value())) {
    if (!any.type_url().empty() || !any.value().empty()) out["value"] = encode_base64(place.secret ? kRedacted : any.value());
    return out;
  }
  if (type->well_known_type() != Descriptor::WELLKNOWNTYPE_UNSPECIFIED) {
    out["value"] = message_to_json(*content, place.inside());
  } else {
    fields_to_json(*content, out, place.inside());
  }
  return out;
}

ordered_json struct_value_to_json(const google::protobuf::Value& value, Place place) {
  switch (value.kind_case()) {
    case google::protobuf::Value::kNumberValue: return real_to_json(value.number_value());
    case google::protobuf::Value::kStringValue: return place.secret ? std::string(kRedacted) : value.string_value();
    case google::protobuf::Value::kBoolValue: return value.bool_value();
    case google::protobuf::Value::kStructValue: return message_to_json(value.struct_value(), place.inside());
    case google::protobuf::Value::kListValue: return message_to_json(value.list_value(), place.inside());
    default: return nullptr;
  }
}

ordered_json message_to_json(const Message& message, Place place) {
  if (place.depth > kMaxDepth) return nullptr;
  const Descriptor& type = *message.GetDescriptor();
  switch (type.well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_ANY: return any_to_json(static_cast<const google::protobuf::Any&>(message), place);
    case Descriptor::WELLKNOWNTYPE_DURATION: {
      const auto& duration = static_cast<const google::protobuf::Duration&>(message);
      return print_duration(duration.seconds(), duration.nanos());
    }
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      return google::protobuf::util::TimeUtil::ToString(static_cast<const google::protobuf::Timestamp&>(message));
    case Descriptor::WELLKNOWNTYPE_FIELDMASK: {
      std::string text;
      google::protobuf::util::FieldMaskUtil::ToJsonString(static_cast<const google::protobuf::FieldMask&>(message), &text);
      return text;
    }
    case Descriptor::WELLKNOWNTYPE_VALUE:
      return struct_value_to_json(static_cast<const google::protobuf::Value&>(message), place);
    case Descriptor::WELLKNOWNTYPE_STRUCT: return map_to_json(message, *type.FindFieldByName("fields"), place);
    case Descriptor::WELLKNOWNTYPE_LISTVALUE: {
      auto list = ordered_json::array();
      for (const auto& element : static_cast<const google::protobuf::ListValue&>(message).values()) {
        list.push_back(struct_value_to_json(element, place));
      }
      return list;
    }
    case Descriptor::WELLKNOWNTYPE_UNSPECIFIED: {
      ordered_json out = ordered_json::object();
      fields_to_json(message, out, place);
      return out;
    }
    default:  // the wrappers
      return value_to_json(message, *type.FindFieldByName("value"), -1, place);
  }
}

}  // namespace

ordered_json to_json(const Message& message) { return message_to_json(message, {}); }

}  // namespace millrace::agent
