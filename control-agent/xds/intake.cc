#include "control-agent/xds/intake.h"

namespace millrace::agent {
namespace {

constexpr std::size_t kMostRejectionBytes = 4096;

}  // namespace

void Rejection::add(const std::string& reason) {
  if (full_) return;
  if (text_.size() + reason.size() > kMostRejectionBytes) {
    full_ = true;
    text_ += text_.empty() ? reason.substr(0, kMostRejectionBytes) : "; and more";
    return;
  }
  text_ += (text_.empty() ? "" : "; ") + reason;
}

void Rejection::add(const std::vector<ConfigError>& errors) {
  for (const ConfigError& error : errors) add(error.to_string());
}

}  // namespace millrace::agent
