// Reads the body of an answer to grpc.health.v1.Health/Check, which comes in parts: messages of gRPC over HTTP/2
// ("Length-Prefixed-Message"), of which there has to be one, a HealthCheckResponse. Fields that it does not know are passed over,
// as protobuf does; groups, which nobody writes any more, are an error.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace millrace::proxy {

class GrpcAnswerReader {
 public:
  /// A longer message is no answer.
  static constexpr std::size_t kMaxMessageBytes = 1'024;

  /// False: this is no answer, whatever follows. As in Envoy empty messages do not count, and one that is compressed is none.
  [[nodiscard]] bool read(std::span<const std::uint8_t> part);
  /// A whole message said SERVING.
  [[nodiscard]] bool is_serving() const { return serving_; }

 private:
  static constexpr std::size_t kPrefixBytes = 5;

  [[nodiscard]] bool accept_prefix();
  [[nodiscard]] bool accept_message();

  std::array<std::uint8_t, kPrefixBytes> prefix_;
  std::array<std::uint8_t, kMaxMessageBytes> message_;
  std::size_t prefix_bytes_ = 0;   // that have come
  std::size_t message_size_ = 0;   // once the prefix is complete
  std::size_t message_bytes_ = 0;  // that have come
  bool answered_ = false;          // a message was complete
  bool serving_ = false;
};

}  // namespace millrace::proxy
