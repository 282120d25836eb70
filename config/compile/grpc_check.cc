#include "config/compile/grpc_check.h"

#include <cstdint>

namespace millrace::config {
namespace {

constexpr char kServiceTag = 1 << 3 | 2;  // field 1, with a length before it
constexpr char kNotCompressed = 0;

}  // namespace

std::string grpc_check_request(std::string_view service) {
  std::string message;
  if (!service.empty()) {
    message.push_back(kServiceTag);
    std::size_t rest = service.size();
    for (; rest > 0x7f; rest >>= 7) message.push_back(static_cast<char>(rest | 0x80));
    message.push_back(static_cast<char>(rest));
    message.append(service);
  }
  std::string out(1, kNotCompressed);
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(message.size() >> shift));
  return out + message;
}

}  // namespace millrace::config
