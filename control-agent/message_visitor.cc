#include "control-agent/message_visitor.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>

#include <memory>
#include <vector>

#include "control-agent/loader.h"

namespace millrace::agent {

using google::protobuf::Any;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

namespace {

class Visitor {
 public:
  explicit Visitor(const std::function<void(const Message&)>& visit) : visit_(visit) {}

  void message(const Message& message) {
    if (depth_ >= kMaxConfigDepth) return;
    ++depth_;
    visit_(message);
    if (message.GetDescriptor() == Any::descriptor()) {
      content(static_cast<const Any&>(message));
    } else {
      std::vector<const FieldDescriptor*> fields;
      message.GetReflection()->ListFields(message, &fields);
      for (const FieldDescriptor* set : fields) field(message, *set);
    }
    --depth_;
  }

 private:
  void content(const Any& any) {
    const auto* type = find_any_type(any.type_url());
    if (type == nullptr) return;
    const std::unique_ptr<Message> held(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
    if (held->ParsePartialFromString(any.value())) message(*held);
  }

  void field(const Message& owner, const FieldDescriptor& field) {
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return;
    const auto& reflection = *owner.GetReflection();
    if (!field.is_repeated()) return message(reflection.GetMessage(owner, &field));
    for (int i = 0; i < reflection.FieldSize(owner, &field); ++i) message(reflection.GetRepeatedMessage(owner, &field, i));
  }

  const std::function<void(const Message&)>& visit_;
  std::size_t depth_ = 0;
};

}  // namespace

void visit_messages(const Message& message, const std::function<void(const Message&)>& visit) { Visitor(visit).message(message); }

}  // namespace millrace::agent
