// The command line: Envoy's flags with Envoy's meanings, and --dataplane.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace millrace::app {

enum class Mode : std::uint8_t { kServe, kValidate };

struct Options {
  std::string config_path;
  std::string config_yaml;
  std::string dataplane_path;
  Mode mode = Mode::kServe;
  std::string service_node;
  std::string service_cluster;
  std::optional<std::uint32_t> concurrency;
  std::string log_level = "info";
  std::string log_format;                  ///< spdlog's pattern; empty: the bootstrap's, or our own
  std::string log_path;                    ///< empty: standard error
  std::uint32_t drain_time_seconds = 600;  ///< Envoy's default
  bool drain_immediately = true;           ///< not --drain-strategy gradual
  std::string csds_address;                ///< as gRPC listens: "127.0.0.1:15099", "unix:/path"; empty: nowhere
  bool allow_unknown_static_fields = false;
  bool reject_unknown_dynamic_fields = false;
  std::string snapshot_path;          ///< where the last good configuration is kept; empty: nowhere
  bool snapshot_secrets = false;      ///< with private keys
  bool enable_core_dump = false;      ///< a crash may write one, with everything that is in memory
  std::vector<std::string> warnings;  ///< flags that were accepted and do nothing here
};

/// What parse_options() ended with: options to run with, or an exit status after printing (--help, --version, an error).
struct ParsedOptions {
  std::optional<Options> options;
  int exit_status = 0;
};

[[nodiscard]] ParsedOptions parse_options(int argc, const char* const* argv);

}  // namespace millrace::app
