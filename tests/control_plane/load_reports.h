// The load reporting service of a control plane: says which clusters it wants to hear of, and remembers what it was told. Any
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "envoy/service/load_stats/v3/lrs.pb.h"
#include "tests/control_plane/stream.h"

namespace millrace::test {

class LoadReports final : public StreamUser {
 public:
  /// The gRPC method by which load is reported.
  [[nodiscard]] static bool is_method(std::string_view path);

  /// Takes a stream. `mute`: it is heard and never told anything.
  [[nodiscard]] grpc::ServerGenericBidiReactor* accept(std::uint64_t id, bool mute);
  /// Said to all that report, and to who introduces itself from now on. Returns how many heard it.
  std::size_t ask(const envoy::service::load_stats::v3::LoadStatsResponse& order);
  /// Ends streams behind what was sent. Returns how many.
  std::size_t end_streams(const grpc::Status& status, std::optional<std::uint64_t> stream);

  /// LoadStatsRequests from the one with this number on, as {"stream", "report"}.
  [[nodiscard]] nlohmann::ordered_json reports(std::size_t first) const;

  void on_message(std::uint64_t stream, const std::string& bytes) override;
  void on_closed(std::uint64_t stream) override;

 private:
  struct Open {
    Stream* stream;  // until on_closed()
    bool mute = false;
    bool introduced = false;
  };

  mutable std::mutex lock_;
  std::optional<std::string> order_;
  std::map<std::uint64_t, Open> streams_;
  std::vector<nlohmann::ordered_json> reports_;
};

}  // namespace millrace::test
