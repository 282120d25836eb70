// A place as the kernel's system calls want it.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "dataplane/base/addresses.h"
#include "dataplane/host/kernel.h"

namespace millrace::host {

struct SocketName {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);

  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] int family() const { return storage.ss_family; }
};

/// The longest path, and the longest abstract name with its "@": both end before the last byte.
inline constexpr std::size_t kMostPipeBytes = sizeof(sockaddr_un::sun_path) - 1;

/// `place.pipe` has at most kMostPipeBytes.
[[nodiscard]] inline SocketName socket_name(const Place& place) {
  SocketName name;
  if (!place.pipe.empty()) {
    auto& unix_name = reinterpret_cast<sockaddr_un&>(name.storage);
    unix_name.sun_family = AF_UNIX;
    std::memcpy(unix_name.sun_path, place.pipe.data(), place.pipe.size());
    const bool is_abstract = place.pipe.front() == '@';
    if (is_abstract) unix_name.sun_path[0] = '\0';
    name.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + place.pipe.size() + (is_abstract ? 0 : 1));
  } else if (place.address.ip.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(name.storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(place.address.port);
    std::memcpy(&v4.sin_addr, place.address.ip.v4_bytes().data(), sizeof(v4.sin_addr));
    name.size = sizeof(sockaddr_in);
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(name.storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(place.address.port);
    std::memcpy(&v6.sin6_addr, place.address.ip.bytes().data(), sizeof(v6.sin6_addr));
    name.size = sizeof(sockaddr_in6);
  }
  return name;
}

/// That of a Unix socket without a name, as most clients have, is of_pipe("").
[[nodiscard]] inline SocketAddress to_address(const SocketName& name) {
  if (name.family() == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(name.storage);
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
    return {IpAddress::v4(bytes), ntohs(v4.sin_port)};
  }
  if (name.family() == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(name.storage);
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return {IpAddress::v6(bytes), ntohs(v6.sin6_port)};
  }
  return SocketAddress::of_pipe("");
}

}  // namespace millrace::host
