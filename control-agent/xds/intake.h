// From a response to resources: unpacks each, checks form, rules and support, and says what is wrong with it in words that a
// NACK carries.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "control-agent/discovery/resources.h"
#include "control-agent/xds/xds_message.h"

namespace millrace::agent {

/// Reasons, bounded as a whole: a NACK is read by people.
class Rejection {
 public:
  void add(const std::string& reason);
  void add(const std::vector<ConfigError>& errors);
  [[nodiscard]] bool empty() const { return text_.empty(); }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  bool full_ = false;
};

template <typename Message>
struct Intake {
  std::vector<ResourcePtr<Message>> good;
  std::set<std::string> names;  ///< of all, also of those that are rejected
  std::vector<ConfigError> warnings;
  bool is_ambiguous = false;  ///< a name comes twice: nothing of the response can be used
  bool has_nameless = false;  ///< of one it cannot be said which it is: what the others leave out may be it
};

/// How errors name a resource: Cluster "web".
template <typename Message>
[[nodiscard]] std::string resource_path(const std::string& name) {
  return Message::descriptor()->name() + " \"" + name + "\"";
}

/// `known`: what has this name now, or null; it is kept where it says the same.
template <typename Message, typename Known>
[[nodiscard]] Intake<Message> take_in(const XdsResponse& response, const std::string& source, Known&& known,
                                      Rejection& rejection);

}  // namespace millrace::agent

#include "control-agent/xds/intake_inl.h"
