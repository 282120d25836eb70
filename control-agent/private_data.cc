#include "control-agent/private_data.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "control-agent/loader.h"
#include "envoy/config/core/v3/base.pb.h"
#include "udpa/annotations/sensitive.pb.h"

namespace millrace::agent {

using envoy::config::core::v3::DataSource;
using google::protobuf::Any;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

namespace {

constexpr int kMaxDepth = 100;

bool holds(const Message& message, bool is_private, int depth);

bool any_holds(const Any& any, bool is_private, int depth) {
  const auto* type = find_any_type(any.type_url());
  if (type == nullptr) return is_private && !any.value().empty();
  const std::unique_ptr<Message> content(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  return content->ParsePartialFromString(any.value()) && holds(*content, is_private, depth);
}

bool field_holds(const Message& message, const FieldDescriptor& field, bool is_private, int depth) {
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return is_private;
  const auto& reflection = *message.GetReflection();
  if (!field.is_repeated()) return holds(reflection.GetMessage(message, &field), is_private, depth);
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    if (holds(reflection.GetRepeatedMessage(message, &field, i), is_private, depth)) return true;
  }
  return false;
}

bool holds(const Message& message, bool is_private, int depth) {
  if (depth > kMaxDepth) return true;  // nobody has looked
  if (message.GetDescriptor() == Any::descriptor()) return any_holds(static_cast<const Any&>(message), is_private, depth + 1);
  if (message.GetDescriptor() == DataSource::descriptor()) {
    const auto kind = static_cast<const DataSource&>(message).specifier_case();
    return is_private && (kind == DataSource::kInlineBytes || kind == DataSource::kInlineString);
  }
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  return std::ranges::any_of(fields, [&](const FieldDescriptor* field) {
    const bool there = is_private || field->options().GetExtension(udpa::annotations::sensitive);
    return field_holds(message, *field, there, depth + 1);
  });
}

}  // namespace

bool holds_private_data(const Message& message) { return holds(message, false, 0); }

}  // namespace millrace::agent
