#include "control-agent/loader_walk.h"

#include <google/protobuf/any.pb.h>

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "control-agent/loader_values.h"
#include "control-agent/scalars.h"
#include "udpa/annotations/sensitive.pb.h"

namespace millrace::agent {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using google::protobuf::Reflection;

bool LoaderWalk::enter(const YAML::Node& node, const std::string& path) {
  if (++nodes_ > options_.max_nodes) {
    if (!std::exchange(told_size_, true))
      fail(node, path, "the configuration has more than " + std::to_string(options_.max_nodes) + " values");
    return false;
  }
  if (depth_ < kMaxConfigDepth) return true;
  fail(node, path, "nested more than " + std::to_string(kMaxConfigDepth) + " levels deep");
  return false;
}

LoaderWalk::Entries LoaderWalk::entries_of(const YAML::Node& node, const std::string& path) {
  Entries own;
  Entries merged;
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) {
      fail(entry.first, path, "the key of a field must be its name");
    } else if (entry.first.Scalar() == "<<" && entry.first.Tag() != "!") {
      const bool single = entry.second.IsMap();
      if (!single && !entry.second.IsSequence()) fail(entry.first, path, "\"<<\" merges a mapping or a list of mappings");
      for (std::size_t i = 0; i < (single ? 1 : entry.second.size()); ++i) {
        const YAML::Node source = single ? YAML::Node(entry.second) : YAML::Node(entry.second[i]);
        if (!source.IsMap() || depth_ >= kMaxConfigDepth || ++nodes_ > options_.max_nodes) {
          fail(entry.first, path, "\"<<\" merges a mapping or a list of mappings, within the limits of size and depth");
          continue;
        }
        ++depth_;
        for (auto& inner : entries_of(source, path)) {
          const auto same = [&](const auto& other) { return other.first.Scalar() == inner.first.Scalar(); };
          if (std::ranges::none_of(merged, same)) merged.push_back(std::move(inner));
        }
        --depth_;
      }
    } else {
      own.emplace_back(entry.first, entry.second);
    }
  }
  std::unordered_set<std::string> names;
  for (const auto& entry : own) names.insert(entry.first.Scalar());
  for (auto& entry : merged) {
    if (!names.contains(entry.first.Scalar())) own.push_back(std::move(entry));
  }
  return own;
}

void LoaderWalk::message(const YAML::Node& node, Message& into, const std::string& path) {
  if (!enter(node, path)) return;
  ++depth_;
  switch (into.GetDescriptor()->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_UNSPECIFIED: ordinary(node, into, path, false); break;
    case Descriptor::WELLKNOWNTYPE_ANY: any(node, into, path); break;
    case Descriptor::WELLKNOWNTYPE_STRUCT:
    case Descriptor::WELLKNOWNTYPE_VALUE:
    case Descriptor::WELLKNOWNTYPE_LISTVALUE: struct_value(node, into, path); break;
    case Descriptor::WELLKNOWNTYPE_DURATION:
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
    case Descriptor::WELLKNOWNTYPE_FIELDMASK: {
      auto reason = read_text_message(node, into);
      if (!reason.empty()) fail(node, path, std::move(reason));
      break;
    }
    default: {  // the wrappers: a message of one field, "value", written as that value
      const auto* field = into.GetDescriptor()->FindFieldByName("value");
      value(node, into, *field, path);
    }
  }
  --depth_;
}

void LoaderWalk::ordinary(const YAML::Node& node, Message& into, const std::string& path, bool skip_type) {
  const Descriptor& type = *into.GetDescriptor();
  if (!node.IsMap()) {
    fail(node, path, "expected a mapping of the fields of " + type.full_name() + ", got " + describe(node));
    return;
  }
  std::unordered_set<const FieldDescriptor*> seen;
  std::unordered_map<const google::protobuf::OneofDescriptor*, std::string> chosen;
  for (const auto& [key, content] : entries_of(node, path)) {
    if (exhausted()) return;
    const std::string& name = key.Scalar();
    if (skip_type && name == "@type") continue;
    const FieldDescriptor* field = find_field(type, name);
    const std::string field_path = join_path(path, field != nullptr ? field->name() : name);
    if (field == nullptr) {
      unknown(key, type, field_path);
      continue;
    }
    record(key, field_path);
    if (!seen.insert(field).second) {
      fail(key, field_path, "is set twice in the same mapping");
      continue;
    }
    const bool is_null_value = field->message_type() != nullptr &&
                               field->message_type()->well_known_type() == Descriptor::WELLKNOWNTYPE_VALUE &&
                               !field->is_repeated();
    if (content.IsNull() && !is_null_value) continue;  // null: unset
    if (const auto* oneof = field->real_containing_oneof(); oneof != nullptr) {
      const auto [other, first] = chosen.emplace(oneof, field->name());
      if (!first) {
        fail(key, field_path, "cannot be set together with \"" + other->second + "\": choose one");
        continue;
      }
    }
    const bool secret = field->options().GetExtension(udpa::annotations::sensitive);
    secret_depth_ += secret ? 1 : 0;
    if (field->is_map()) {
      map(content, into, *field, field_path);
    } else if (field->is_repeated()) {
      list(content, into, *field, field_path);
    } else {
      value(content, into, *field, field_path);
    }
    secret_depth_ -= secret ? 1 : 0;
  }
}

void LoaderWalk::unknown(const YAML::Node& key, const Descriptor& type, const std::string& path) {
  std::string reason = "unknown field of " + type.full_name();
  const std::string guess = nearest_field(type, key.Scalar());
  if (!guess.empty()) reason += "; did you mean \"" + guess + "\"?";
  if (!options_.allow_unknown_fields) {
    fail(key, path, std::move(reason));
  } else {
    diagnostics_.warning_at(file_, static_cast<std::uint32_t>(key.Mark().line + 1), path, reason + " (ignored)");
  }
}

void LoaderWalk::list(const YAML::Node& node, Message& into, const FieldDescriptor& field, const std::string& path) {
  if (!node.IsSequence()) {
    fail(node, path, "expected a list, got " + describe(node));
    return;
  }
  const auto offset = static_cast<std::size_t>(into.GetReflection()->FieldSize(into, &field));
  std::size_t index = offset;
  for (const auto& element : node) {
    if (exhausted()) return;
    const std::string element_path = index_path(path, index++);
    record(element, element_path);
    const bool takes_null =
        field.message_type() != nullptr && field.message_type()->well_known_type() == Descriptor::WELLKNOWNTYPE_VALUE;
    if (element.IsNull() && !takes_null) {
      fail(element, element_path, "a list cannot hold null");
      continue;
    }
    value(element, into, field, element_path);
  }
}

void LoaderWalk::map(const YAML::Node& node, Message& into, const FieldDescriptor& field, const std::string& path) {
  if (!node.IsMap()) {
    fail(node, path, "expected a mapping, got " + describe(node));
    return;
  }
  const Reflection& reflection = *into.GetReflection();
  const FieldDescriptor& key_field = *field.message_type()->map_key();
  const FieldDescriptor& value_field = *field.message_type()->map_value();
  const bool may_replace = reflection.FieldSize(into, &field) > 0;
  std::unordered_set<std::string> seen;
  for (const auto& [key, content] : entries_of(node, path)) {
    if (exhausted()) return;
    const std::string entry_path = key_path(path, key.Scalar());
    record(key, entry_path);
    if (!seen.insert(key.Scalar()).second) {
      fail(key, entry_path, "is set twice in the same mapping");
      continue;
    }
    if (content.IsNull() && !(value_field.message_type() != nullptr &&
                              value_field.message_type()->well_known_type() == Descriptor::WELLKNOWNTYPE_VALUE)) {
      fail(content, entry_path, "a map cannot hold null");
      continue;
    }
    // A key that an earlier file set is replaced, as by protobuf's merge.
    Message* entry = may_replace ? find_map_entry(into, field, key.Scalar()) : nullptr;
    if (entry == nullptr) entry = reflection.AddMessage(&into, &field);
    entry->Clear();
    auto reason = read_map_key(key.Scalar(), *entry, key_field);
    if (!reason.empty()) {
      fail(key, entry_path, std::move(reason));
      continue;
    }
    value(content, *entry, value_field, entry_path);
  }
}

void LoaderWalk::value(const YAML::Node& node, Message& into, const FieldDescriptor& field, const std::string& path) {
  const Reflection& reflection = *into.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    message(node, field.is_repeated() ? *reflection.AddMessage(&into, &field) : *reflection.MutableMessage(&into, &field), path);
    return;
  }
  if (!enter(node, path)) return;
  auto reason = read_scalar(node, into, field);
  if (!reason.empty()) fail(node, path, std::move(reason));
}

void LoaderWalk::any(const YAML::Node& node, Message& into, const std::string& path) {
  auto& any = static_cast<google::protobuf::Any&>(into);
  const YAML::Node type_node = node.IsMap() ? node["@type"] : YAML::Node(YAML::NodeType::Undefined);
  if (!type_node.IsDefined() || !type_node.IsScalar()) {
    fail(node, path, "needs \"@type\" with the type of its content, as in \"@type\": type.googleapis.com/envoy.[...]");
    return;
  }
  const std::string& type_url = type_node.Scalar();
  const Descriptor* type = find_any_type(type_url);
  any.set_type_url(type_url);
  any.clear_value();
  if (type == nullptr) {
    // Content that we cannot read is kept if it is bytes already.
    const auto bytes_node = node["value"];
    const bool only_bytes = node.size() == 2 && bytes_node.IsDefined() && bytes_node.IsScalar();
    const auto bytes = only_bytes ? decode_base64(bytes_node.Scalar()) : std::nullopt;
    if (bytes) {
      any.set_value(*bytes);
    } else if (node.size() > 1 || type_url.find('/') == std::string::npos) {
      std::string reason = "the type \"" + type_url + "\" is unknown to this program";
      if (!options_.allow_unknown_fields) {
        fail(type_node, path, std::move(reason));
      } else {
        diagnostics_.warning_at(file_, static_cast<std::uint32_t>(type_node.Mark().line + 1), path,
                                reason + " (content ignored)");
      }
    }
    return;
  }
  const std::unique_ptr<Message> content(MessageFactory::generated_factory()->GetPrototype(type)->New());
  if (type->well_known_type() == Descriptor::WELLKNOWNTYPE_UNSPECIFIED) {
    ordinary(node, *content, path, true);
  } else if (const auto inner = node["value"]; inner.IsDefined()) {
    message(inner, *content, path);
  }
  any.set_value(serialize(*content));
}

void LoaderWalk::struct_value(const YAML::Node& node, Message& into, const std::string& path) {
  switch (into.GetDescriptor()->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_STRUCT: map(node, into, *into.GetDescriptor()->FindFieldByName("fields"), path); return;
    case Descriptor::WELLKNOWNTYPE_LISTVALUE: list(node, into, *into.GetDescriptor()->FindFieldByName("values"), path); return;
    default: break;
  }
  const Descriptor& type = *into.GetDescriptor();
  if (node.IsMap()) {
    message(node, *into.GetReflection()->MutableMessage(&into, type.FindFieldByName("struct_value")), path);
  } else if (node.IsSequence()) {
    message(node, *into.GetReflection()->MutableMessage(&into, type.FindFieldByName("list_value")), path);
  } else {
    read_plain_value(node, into);
  }
}

}  // namespace millrace::agent
