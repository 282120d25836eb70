#include "control-agent/loader_values.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/field_mask_util.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "control-agent/scalars.h"

namespace millrace::agent {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

namespace {

constexpr std::size_t kShownText = 60;  // of a value that a message quotes

/// Quoted scalars, block scalars and those tagged !!str are text, whatever they look like.
bool is_text(const YAML::Node& node) { return node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str"; }

bool is_bool(std::string_view text) { return text == "true" || text == "false"; }

template <typename T>
void store(Message& into, const FieldDescriptor& field, T value,
           void (Reflection::*set)(Message*, const FieldDescriptor*, T) const,
           void (Reflection::*add)(Message*, const FieldDescriptor*, T) const) {
  const Reflection& reflection = *into.GetReflection();
  (reflection.*(field.is_repeated() ? add : set))(&into, &field, value);
}

template <typename T, typename Wide>
std::string store_whole(const YAML::Node& node, Message& into, const FieldDescriptor& field, std::optional<Wide> value,
                        void (Reflection::*set)(Message*, const FieldDescriptor*, T) const,
                        void (Reflection::*add)(Message*, const FieldDescriptor*, T) const) {
  if (!value || *value < std::numeric_limits<T>::min() || *value > std::numeric_limits<T>::max()) {
    return "expected a whole number from " + std::to_string(std::numeric_limits<T>::min()) + " to " +
           std::to_string(std::numeric_limits<T>::max()) + ", got " + describe(node);
  }
  store<T>(into, field, static_cast<T>(*value), set, add);
  return {};
}

std::string read_enum(const YAML::Node& node, Message& into, const FieldDescriptor& field) {
  const auto& type = *field.enum_type();
  const auto* by_name = type.FindValueByName(node.Scalar());
  if (type.full_name() == "google.protobuf.NullValue") by_name = type.value(0);
  const auto number = by_name == nullptr ? parse_int64(node.Scalar()) : std::nullopt;
  if (by_name == nullptr && (!number || *number < std::numeric_limits<int>::min() || *number > std::numeric_limits<int>::max())) {
    std::string known;
    for (int i = 0; i < type.value_count() && i < 12; ++i) known += (i == 0 ? "" : ", ") + type.value(i)->name();
    return "expected one of " + known + (type.value_count() > 12 ? ", ..." : "") + ", got " + describe(node);
  }
  const int value = by_name != nullptr ? by_name->number() : static_cast<int>(*number);
  store<int>(into, field, value, &Reflection::SetEnumValue, &Reflection::AddEnumValue);
  return {};
}

std::string read_string(const YAML::Node& node, Message& into, const FieldDescriptor& field) {
  const Reflection& reflection = *into.GetReflection();
  std::string text = node.Scalar();
  if (field.type() == FieldDescriptor::TYPE_BYTES) {
    auto bytes = decode_base64(text);
    if (!bytes) return "expected bytes in base64, got " + describe(node);
    text = std::move(*bytes);
  } else if (!is_text(node) && (is_bool(text) || is_json_number(text))) {
    return "expected a string, got " + describe(node) + ": put it in quotes";
  } else if (!is_valid_utf8(text)) {
    return "is not UTF-8 text";
  }
  if (field.is_repeated()) {
    reflection.AddString(&into, &field, std::move(text));
  } else {
    reflection.SetString(&into, &field, std::move(text));
  }
  return {};
}

}  // namespace

std::string describe(const YAML::Node& node) {
  if (node.IsMap()) return "a mapping";
  if (node.IsSequence()) return "a list";
  if (!node.IsScalar()) return "null";
  const std::string& text = node.Scalar();
  const std::string shown = text.size() <= kShownText ? text : text.substr(0, kShownText) + "...";
  if (!is_text(node) && is_json_number(text)) return "the number " + shown;
  if (!is_text(node) && is_bool(text)) return shown;
  return "\"" + shown + "\"";
}

const FieldDescriptor* find_field(const Descriptor& type, const std::string& name) {
  if (const auto* field = type.FindFieldByName(name); field != nullptr) return field;
  const auto* camel = type.FindFieldByCamelcaseName(name);
  if (camel != nullptr && camel->json_name() == name) return camel;
  for (int i = 0; i < type.field_count(); ++i) {
    if (type.field(i)->json_name() == name) return type.field(i);
  }
  return nullptr;
}

std::string nearest_field(const Descriptor& type, std::string_view name) {
  std::string best;
  std::size_t best_distance = 3;
  if (name.size() > 100) return best;
  for (int i = 0; i < type.field_count(); ++i) {
    const std::string& other = type.field(i)->name();
    std::vector<std::size_t> row(other.size() + 1);
    for (std::size_t k = 0; k <= other.size(); ++k) row[k] = k;
    for (std::size_t n = 0; n < name.size(); ++n) {
      std::size_t diagonal = row[0];
      row[0] = n + 1;
      for (std::size_t k = 0; k < other.size(); ++k) {
        const std::size_t replaced = diagonal + (name[n] == other[k] ? 0 : 1);
        diagonal = row[k + 1];
        row[k + 1] = std::min({replaced, row[k] + 1, row[k + 1] + 1});
      }
    }
    if (row.back() < best_distance && row.back() < other.size()) {
      best_distance = row.back();
      best = other;
    }
  }
  return best;
}

std::string read_scalar(const YAML::Node& node, Message& into, const FieldDescriptor& field) {
  const bool is_null_enum = field.enum_type() != nullptr && field.enum_type()->full_name() == "google.protobuf.NullValue";
  if (!node.IsScalar() && !(node.IsNull() && is_null_enum)) {
    return std::string("expected a single value (") + field.type_name() + "), got " + describe(node);
  }
  const std::string& text = node.Scalar();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return store_whole<std::int32_t>(node, into, field, parse_int64(text), &Reflection::SetInt32, &Reflection::AddInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return store_whole<std::int64_t>(node, into, field, parse_int64(text), &Reflection::SetInt64, &Reflection::AddInt64);
    case FieldDescriptor::CPPTYPE_UINT32:
      return store_whole<std::uint32_t>(node, into, field, parse_uint64(text), &Reflection::SetUInt32, &Reflection::AddUInt32);
    case FieldDescriptor::CPPTYPE_UINT64:
      return store_whole<std::uint64_t>(node, into, field, parse_uint64(text), &Reflection::SetUInt64, &Reflection::AddUInt64);
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT: {
      const auto number = parse_double(text);
      if (!number) return "expected a number, got " + describe(node);
      if (field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
        store<double>(into, field, *number, &Reflection::SetDouble, &Reflection::AddDouble);
      } else {
        store<float>(into, field, static_cast<float>(*number), &Reflection::SetFloat, &Reflection::AddFloat);
      }
      return {};
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      if (!is_bool(text)) return "expected true or false, got " + describe(node);
      store<bool>(into, field, text == "true", &Reflection::SetBool, &Reflection::AddBool);
      return {};
    case FieldDescriptor::CPPTYPE_ENUM: return read_enum(node, into, field);
    case FieldDescriptor::CPPTYPE_STRING: return read_string(node, into, field);
    case FieldDescriptor::CPPTYPE_MESSAGE: break;
  }
  return "is a message";
}

std::string read_map_key(const std::string& key, Message& entry, const FieldDescriptor& field) {
  YAML::Node node(key);
  node.SetTag("!");
  return read_scalar(node, entry, field);
}

std::string read_text_message(const YAML::Node& node, Message& into) {
  switch (into.GetDescriptor()->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_DURATION: {
      const auto parts = node.IsScalar() ? parse_duration(node.Scalar()) : std::nullopt;
      if (!parts) return "expected a duration such as \"1.5s\", got " + describe(node);
      auto& duration = static_cast<google::protobuf::Duration&>(into);
      duration.set_seconds(parts->seconds);
      duration.set_nanos(parts->nanos);
      return {};
    }
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      if (node.IsScalar() &&
          google::protobuf::util::TimeUtil::FromString(node.Scalar(), &static_cast<google::protobuf::Timestamp&>(into))) {
        return {};
      }
      return "expected a time such as \"2024-01-31T12:00:00Z\", got " + describe(node);
    default:
      if (node.IsScalar() && google::protobuf::util::FieldMaskUtil::FromJsonString(
                                 node.Scalar(), &static_cast<google::protobuf::FieldMask&>(into))) {
        return {};
      }
      return "expected a field mask such as \"name,address.port\", got " + describe(node);
  }
}

void read_plain_value(const YAML::Node& node, Message& into) {
  auto& value = static_cast<google::protobuf::Value&>(into);
  const std::string& text = node.IsNull() ? std::string() : node.Scalar();
  const auto number = !node.IsNull() && !is_text(node) && is_json_number(text) ? parse_double(text) : std::nullopt;
  if (node.IsNull()) {
    value.set_null_value(google::protobuf::NULL_VALUE);
  } else if (number) {
    value.set_number_value(*number);
  } else if (!is_text(node) && is_bool(text)) {
    value.set_bool_value(text == "true");
  } else {
    value.set_string_value(text);
  }
}

Message* find_map_entry(Message& owner, const FieldDescriptor& field, const std::string& key) {
  const Reflection& reflection = *owner.GetReflection();
  const auto& key_field = *field.message_type()->map_key();
  const int count = reflection.FieldSize(owner, &field);
  if (key_field.cpp_type() != FieldDescriptor::CPPTYPE_STRING) return nullptr;
  for (int i = 0; i < count; ++i) {
    Message* entry = reflection.MutableRepeatedMessage(&owner, &field, i);
    if (entry->GetReflection()->GetString(*entry, &key_field) == key) return entry;
  }
  return nullptr;
}

std::string serialize(const Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  {
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializePartialToCodedStream(&coded);
  }
  return bytes;
}

}  // namespace millrace::agent
