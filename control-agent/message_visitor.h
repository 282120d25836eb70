// All messages within a message.
#pragma once

#include <google/protobuf/message.h>

#include <functional>

namespace millrace::agent {

/// Calls `visit` with `message` and all that it holds, outer ones first. What stands in an Any is visited, too, where its type is
/// known; it lives only as long as that call.
void visit_messages(const google::protobuf::Message& message, const std::function<void(const google::protobuf::Message&)>& visit);

}  // namespace millrace::agent
