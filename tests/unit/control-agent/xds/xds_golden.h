// A conversation as a text in which input and output stand in order: who plays it gets the same text with what the client says
// and does now. Lines that are input:
//   start sotw | delta       the client starts, with a control plane that speaks this form by ADS
//   < Cluster v=2 n=c2       a response, with its version and nonce; its resources follow, each on a line with four spaces
//   before:
//       eds NAME, static NAME [ADDRESS], endpoints NAME ADDRESS..., listener NAME PORT ROUTES, routes NAME CLUSTER,
//       tls NAME SECRET [ADDRESS], authority SECRET, secure NAME PORT ROUTES SECRET (a listener), probed NAME ADDRESS (a cluster
//       with a health check),
//       {...}                any other resource, as YAML
//       - NAME               one that is removed
//   pass 5s                  time goes by
//   checked NAME             the endpoints of a cluster have had the first result of their health check
//   end REASON               the server ends the stream
// Output: "> ..." what the client sends and opens, "= ..." what serves and what waits, where that has changed. Whatever else
// stands there is for readers.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/control-agent/xds/xds_conversation.h"

namespace millrace::agent::test {

class GoldenPlayer {
 public:
  /// Lines that cannot be understood are failures of the test.
  [[nodiscard]] std::string play(std::string_view script);

 private:
  void run(const std::string& line, const std::vector<std::string>& details);
  void answer(const std::string& head, const std::vector<std::string>& details);
  void write_output();

  std::optional<Conversation> conversation_;
  bool is_delta_ = false;
  std::size_t opened_ = 0;
  std::string state_;
  std::string text_;
};

}  // namespace millrace::agent::test
