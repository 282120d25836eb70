#include "control-agent/log_format.h"

#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {

std::string log_pattern(const envoy::config::bootstrap::v3::Bootstrap& bootstrap) {
  return bootstrap.application_log_config().log_format().text_format();
}

}  // namespace millrace::agent
