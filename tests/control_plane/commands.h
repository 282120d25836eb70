// The language in which a control plane is told what to do: a JSON object a line, one answer a line (README.md lists them). What
// is wrong with an order is its answer: {"error": "..."}.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tests/control_plane/control_plane.h"

namespace millrace::test {

class Commands {
 public:
  explicit Commands(ControlPlane& plane) : plane_(plane) {}

  /// The answer, without a line's end. May wait, as long as the order says.
  [[nodiscard]] std::string obey(const std::string& line);

 private:
  ControlPlane& plane_;
};

}  // namespace millrace::test
