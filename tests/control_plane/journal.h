// What clients have said so far, in order, and what they thought of what they were sent. Not for several threads.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/control_plane/conversation.h"

namespace millrace::test {

class Journal {
 public:
  void record(const Conversation& conversation, const Heard& heard);

  /// Requests from the one with this number on, as {"stream", "form", "request"}.
  [[nodiscard]] nlohmann::ordered_json requests(std::size_t first) const;
  /// The last acceptance and rejection of a type: {"ack": {"version"}, "nack": {"version", "code", "message"}}, null where there
  /// is none.
  [[nodiscard]] nlohmann::ordered_json last(const std::string& type_url) const;
  /// Whether this version was accepted (or rejected), by any stream.
  [[nodiscard]] bool judged(const std::string& type_url, const std::string& version, bool accepted) const;

 private:
  std::vector<nlohmann::ordered_json> requests_;
  std::vector<Verdict> verdicts_;
};

}  // namespace millrace::test
