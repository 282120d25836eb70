#include "control-agent/redact.h"

#include <google/protobuf/any.pb.h>

#include <memory>
#include <vector>

#include "control-agent/loader.h"
#include "udpa/annotations/sensitive.pb.h"

namespace millrace::agent {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

namespace {

constexpr int kMaxDepth = 100;
constexpr const char* kRedacted = "[redacted]";

void redact(Message& message, bool secret, int depth);

// One whose content cannot be read is as its bytes are.
void redact_any(google::protobuf::Any& any, bool secret, int depth) {
  const auto* type = find_any_type(any.type_url());
  std::unique_ptr<Message> content;
  if (type != nullptr) content.reset(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  if (content != nullptr && content->ParsePartialFromString(any.value())) {
    redact(*content, secret, depth);
    any.set_value(content->SerializePartialAsString());
  } else if (secret) {
    any.set_value(kRedacted);
  }
}

void redact_field(Message& message, const FieldDescriptor& field, bool secret, int depth) {
  const auto& reflection = *message.GetReflection();
  const int count = field.is_repeated() ? reflection.FieldSize(message, &field) : 1;
  for (int i = 0; i < count; ++i) {
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      redact(field.is_repeated() ? *reflection.MutableRepeatedMessage(&message, &field, i)
                                 : *reflection.MutableMessage(&message, &field),
             secret, depth + 1);
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING && secret) {
      field.is_repeated() ? reflection.SetRepeatedString(&message, &field, i, kRedacted)
                          : reflection.SetString(&message, &field, kRedacted);
    }
  }
  const bool is_text =
      field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE || field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
  if (secret && !is_text) reflection.ClearField(&message, &field);
}

void redact(Message& message, bool secret, int depth) {
  if (depth > kMaxDepth) return message.Clear();
  if (message.GetDescriptor() == google::protobuf::Any::descriptor())
    return redact_any(static_cast<google::protobuf::Any&>(message), secret, depth + 1);
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields)
    redact_field(message, *field, secret || field->options().GetExtension(udpa::annotations::sensitive), depth);
}

}  // namespace

void redact(Message& message) { redact(message, false, 0); }

}  // namespace millrace::agent
