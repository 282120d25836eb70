// Address texts: whatever parses prints in a form that parses to the same value, within the promised length.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "dataplane/base/addresses.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto mac = millrace::MacAddress::parse(text)) {
    require(millrace::MacAddress::parse(mac->to_string()) == mac);
  }
  if (const auto ip = millrace::IpAddress::parse(text)) {
    std::array<char, millrace::IpAddress::kMaxText> out;
    const std::size_t length = ip->format_to(out);
    require(length <= out.size());
    require(millrace::IpAddress::parse(std::string_view(out.data(), length)) == ip);
  }
  if (const auto prefix = millrace::IpPrefix::parse(text)) {
    require(prefix->contains(prefix->address));
    require(millrace::IpPrefix::parse(prefix->to_string()) == prefix);
  }
  if (const auto address = millrace::SocketAddress::parse(text)) {
    std::array<char, millrace::SocketAddress::kMaxText> out;
    const std::size_t length = address->format_to(out);
    require(length <= out.size());
    require(millrace::SocketAddress::parse(std::string_view(out.data(), length)) == address);
  }
  return 0;
}
