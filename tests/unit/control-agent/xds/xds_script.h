// A conversation in one file, as the fuzzer of the xDS client keeps and changes it (tests/fuzz/corpus/xds_fuzz).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "envoy/service/discovery/v3/discovery.pb.h"

namespace millrace::agent::test {

/// 's' or 'd' (state of the world, delta), then responses, each behind its length (4 bytes, little endian). State of the world is
/// said by the same messages.
struct XdsScript {
  static constexpr std::size_t kMostResponses = 32;

  bool is_delta = true;
  std::vector<envoy::service::discovery::v3::DeltaDiscoveryResponse> responses;

  /// False: it is none, or says nothing.
  bool parse(std::string_view input) {
    if (input.empty()) return false;
    is_delta = input.front() != 's';
    input.remove_prefix(1);
    while (input.size() >= 4 && responses.size() < kMostResponses) {
      std::uint32_t length = 0;
      std::memcpy(&length, input.data(), sizeof length);
      input.remove_prefix(sizeof length);
      const std::string_view bytes = input.substr(0, length);
      input.remove_prefix(bytes.size());
      if (!responses.emplace_back().ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return false;
    }
    return !responses.empty();
  }
  [[nodiscard]] std::string print() const {
    std::string out(1, is_delta ? 'd' : 's');
    for (const auto& response : responses) {
      const std::string bytes = response.SerializeAsString();
      const auto length = static_cast<std::uint32_t>(bytes.size());
      out.append(reinterpret_cast<const char*>(&length), sizeof length);
      out += bytes;
    }
    return out;
  }
};

}  // namespace millrace::agent::test
