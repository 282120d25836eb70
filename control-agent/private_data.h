// Which messages hold what must not be shown or kept: fields that are udpa.annotations.sensitive, as keys and passwords.
#pragma once

#include <google/protobuf/message.h>

namespace millrace::agent {

/// Does `message` hold such a value itself? Names of files and of environment variables are not the value. What stands in an Any
/// is looked at where its type is known.
[[nodiscard]] bool holds_private_data(const google::protobuf::Message& message);

}  // namespace millrace::agent
