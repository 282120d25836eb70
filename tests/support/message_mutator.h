// Messages that nobody would send, made of those that somebody does: one field changed at a time, deep inside.
#pragma once

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control-agent/loader.h"
#include "dataplane/base/rng.h"

namespace millrace::agent::test {

class MessageMutator {
  using FieldDescriptor = google::protobuf::FieldDescriptor;
  using Message = google::protobuf::Message;
  static constexpr int kDeepest = 12;

 public:
  explicit MessageMutator(std::uint64_t seed) : rng_(seed) {}

  /// Changes one field somewhere in `message`, also within an Any: to an extreme, to nothing, or to what was never set.
  void change(Message& message, int depth = 0) {
    std::vector<const FieldDescriptor*> fields;
    message.GetReflection()->ListFields(message, &fields);
    if (fields.empty() || rng_.chance(1, 8)) {
      const auto* type = message.GetDescriptor();
      if (type->field_count() == 0) return;
      return set(message, *type->field(static_cast<int>(rng_.below(static_cast<std::uint32_t>(type->field_count())))));
    }
    const FieldDescriptor& field = *fields[rng_.below(static_cast<std::uint32_t>(fields.size()))];
    const auto& reflection = *message.GetReflection();
    if (field.message_type() == nullptr || depth >= kDeepest || rng_.chance(1, 16)) return set(message, field);
    Message* inner = !field.is_repeated()
                         ? reflection.MutableMessage(&message, &field)
                         : reflection.MutableRepeatedMessage(
                               &message, &field,
                               static_cast<int>(rng_.below(static_cast<std::uint32_t>(reflection.FieldSize(message, &field)))));
    if (auto* any = dynamic_cast<google::protobuf::Any*>(inner)) return change_any(*any, depth + 1);
    change(*inner, depth + 1);
  }

  /// Turns over, cuts off or puts in bytes.
  std::string damage(std::string bytes) {
    if (bytes.empty()) return bytes;
    const std::size_t at = rng_.below(static_cast<std::uint32_t>(bytes.size()));
    switch (rng_.below(3)) {
      case 0: bytes[at] = static_cast<char>(rng_.next()); break;
      case 1: bytes.resize(at); break;
      default: bytes.insert(at, 1 + rng_.below(8), static_cast<char>(rng_.next()));
    }
    return bytes;
  }
  Rng& rng() { return rng_; }

 private:
  void change_any(google::protobuf::Any& any, int depth) {
    const auto* type = find_any_type(any.type_url());
    if (type == nullptr || rng_.chance(1, 10)) return any.set_value(damage(any.value()));
    const std::unique_ptr<Message> inner(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
    if (!inner->ParsePartialFromString(any.value())) return;
    change(*inner, depth);
    any.set_value(inner->SerializePartialAsString());
  }

  std::string text() {
    static const std::string kTexts[] = {"",   "*",        "a",   "%", "%REQ(", "..", "\n", std::string(5'000, 'x'),
                                         "([", "10.0.0.0", "::1", "/"};
    return kTexts[rng_.below(std::size(kTexts))];
  }
  std::int64_t number() {
    static constexpr std::int64_t kNumbers[] = {0,
                                                1,
                                                -1,
                                                2,
                                                100,
                                                101,
                                                65'535,
                                                65'536,
                                                std::numeric_limits<std::int32_t>::max(),
                                                std::numeric_limits<std::int64_t>::max(),
                                                std::numeric_limits<std::int64_t>::min()};
    return kNumbers[rng_.below(std::size(kNumbers))];
  }

  void set(Message& message, const FieldDescriptor& field) {
    const auto& reflection = *message.GetReflection();
    if (field.is_repeated() || rng_.chance(1, 4)) return reflection.ClearField(&message, &field);
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32: return reflection.SetInt32(&message, &field, static_cast<std::int32_t>(number()));
      case FieldDescriptor::CPPTYPE_INT64: return reflection.SetInt64(&message, &field, number());
      case FieldDescriptor::CPPTYPE_UINT32: return reflection.SetUInt32(&message, &field, static_cast<std::uint32_t>(number()));
      case FieldDescriptor::CPPTYPE_UINT64: return reflection.SetUInt64(&message, &field, static_cast<std::uint64_t>(number()));
      case FieldDescriptor::CPPTYPE_DOUBLE: return reflection.SetDouble(&message, &field, static_cast<double>(number()) / 3);
      case FieldDescriptor::CPPTYPE_FLOAT: return reflection.SetFloat(&message, &field, static_cast<float>(number()) / 3);
      case FieldDescriptor::CPPTYPE_BOOL: return reflection.SetBool(&message, &field, rng_.chance(1, 2));
      case FieldDescriptor::CPPTYPE_ENUM: return reflection.SetEnumValue(&message, &field, static_cast<int>(rng_.below(40)));
      case FieldDescriptor::CPPTYPE_STRING: return reflection.SetString(&message, &field, text());
      case FieldDescriptor::CPPTYPE_MESSAGE: (void)reflection.MutableMessage(&message, &field); return;
    }
  }

  Rng rng_;
};

}  // namespace millrace::agent::test
