// From a response to resources: unpacks each, checks form, rules and support, and says what is wrong with it in words that a
// NACK carries.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control-agent/discovery/discovery_report.h"
#include "control-agent/discovery/resources.h"
#include "control-agent/xds/xds_message.h"

namespace millrace::agent {

/// Reasons, bounded as a whole: a NACK is read by people.
class Rejection {
 public:
  /// `of_unknown_fields`: a resource is rejected that has fields of another version of the API (--reject-unknown-dynamic-fields).
  explicit Rejection(bool of_unknown_fields = false) : of_unknown_fields_(of_unknown_fields) {}

  [[nodiscard]] bool is_of_unknown_fields() const { return of_unknown_fields_; }
  void add(const std::string& reason);
  void add(const std::vector<ConfigError>& errors);
  [[nodiscard]] bool empty() const { return text_.empty(); }
  [[nodiscard]] const std::string& text() const { return text_; }

  /// The resource of this name is one of those that are rejected.
  void blame(const std::string& name, RefusedUpdate update) { refused_.insert_or_assign(name, std::move(update)); }
  [[nodiscard]] const std::map<std::string, RefusedUpdate>& refused() const { return refused_; }
  /// Each of these is accepted unless it was blamed.
  void judge(const std::set<std::string>& names) { judged_ = names; }
  /// Nothing: the response as a whole could not be used.
  [[nodiscard]] const std::optional<std::set<std::string>>& judged() const { return judged_; }

 private:
  const bool of_unknown_fields_;
  std::map<std::string, RefusedUpdate> refused_;
  std::optional<std::set<std::string>> judged_;
  std::string text_;
  bool full_ = false;
};

/// As a rejection says them.
[[nodiscard]] std::string to_text(const std::vector<ConfigError>& errors);

/// `resource`, refused for `details`.
template <typename Message>
[[nodiscard]] RefusedUpdate refused_update(const ResourcePtr<Message>& resource, std::string details) {
  return {.version = resource->origin().version,
          .attempted = resource->origin().updated,
          .details = std::move(details),
          .content = as_message(*resource)};
}

template <typename Message>
struct Intake {
  std::vector<ResourcePtr<Message>> good;
  std::set<std::string> names;  ///< of all, also of those that are rejected
  std::vector<ConfigError> warnings;
  std::size_t unknown_fields = 0;  ///< of those that are good
  bool is_ambiguous = false;       ///< a name comes twice: nothing of the response can be used
  bool has_nameless = false;       ///< of one it cannot be said which it is: what the others leave out may be it
};

/// `known`: what has this name now, or null; it is kept where it says the same. `share`: its name, from whoever has it already.
template <typename Message, typename Known, typename Share>
[[nodiscard]] Intake<Message> take_in(const XdsResponse& response, const std::string& source, Known&& known, Share&& share,
                                      Rejection& rejection);
template <typename Message, typename Known>
[[nodiscard]] Intake<Message> take_in(const XdsResponse& response, const std::string& source, Known&& known,
                                      Rejection& rejection) {
  return take_in<Message>(response, source, known, [](const SharedName& name) { return name; }, rejection);
}

}  // namespace millrace::agent

#include "control-agent/xds/intake_inl.h"
