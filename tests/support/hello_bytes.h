// The bytes of a TLS client's first message, made by hand: just enough of it for whoever only looks (RFC 8446 4.1.2).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::test {

struct HelloBytes {
  std::string server_name = {};             ///< empty: no such extension
  std::vector<std::string> protocols = {};  ///< ALPN; empty: no such extension
  std::size_t padding = 0;                  ///< bytes of the padding extension (RFC 7685)
};

inline std::string hello_bytes(const HelloBytes& wanted) {
  const auto number = [](std::size_t value, int bytes) {
    std::string out;
    for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
    return out;
  };
  const auto vector = [&](std::string_view content, int bytes) { return number(content.size(), bytes) + std::string(content); };
  std::string extensions;
  const auto add = [&](std::size_t type, std::string_view content) { extensions += number(type, 2) + vector(content, 2); };
  if (!wanted.server_name.empty()) add(0, vector(number(0, 1) + vector(wanted.server_name, 2), 2));
  if (!wanted.protocols.empty()) {
    std::string list;
    for (const std::string& protocol : wanted.protocols) list += vector(protocol, 1);
    add(16, vector(list, 2));
  }
  if (wanted.padding > 0) add(21, std::string(wanted.padding, '\0'));
  const std::string body = number(0x0303, 2) + std::string(32, 'r') + vector("", 1) + vector(number(0xc02f, 2), 2) +
                           vector(number(0, 1), 1) + vector(extensions, 2);
  const std::string message = number(1, 1) + vector(body, 3);
  constexpr std::size_t kRecord = 16 * 1024;
  std::string out;
  for (std::size_t at = 0; at < message.size(); at += kRecord) {
    out += number(22, 1) + number(0x0301, 2) + vector(std::string_view(message).substr(at, kRecord), 2);
  }
  return out;
}

}  // namespace millrace::test
