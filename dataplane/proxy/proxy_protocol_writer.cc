#include "dataplane/proxy/proxy_protocol_writer.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "dataplane/proxy/policy/text_writer.h"

namespace millrace::proxy {
namespace {

constexpr std::size_t kMostLineBytes = 107;
constexpr std::size_t kMostLength = 65'535;  // of addresses and extensions in version 2
constexpr std::size_t kExtensionHeadBytes = 3;

bool both_are_v4(const ProxiedClient& client) { return client.source.ip.is_v4() && client.destination.ip.is_v4(); }

bool write_line(const ProxiedClient* client, stream::Chain& to) {
  if (client == nullptr) return to.append_copy("PROXY UNKNOWN\r\n");
  const bool v4 = both_are_v4(*client);
  std::array<char, kMostLineBytes> line;
  TextWriter text(line);
  text.put(v4 ? "PROXY TCP4 " : "PROXY TCP6 ");
  for (const IpAddress& ip : {client->source.ip, client->destination.ip}) {
    if (!v4 && ip.is_v4()) text.put("::ffff:");
    text.put_address(ip);
    text.put(" ");
  }
  text.put_number(client->source.port);
  text.put(" ");
  text.put_number(client->destination.port);
  text.put("\r\n");
  return to.append_copy({line.data(), text.size()});
}

/// Visits each extension that `config` passes: type, length and value.
template <typename Visit>
void for_each_passed(const config::ProxyProtocolOut& config, std::string_view extensions, Visit&& visit) {
  while (extensions.size() >= kExtensionHeadBytes) {
    const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(extensions[i]); };
    const std::size_t size = std::min<std::size_t>(kExtensionHeadBytes + (at(1) << 8 | at(2)), extensions.size());
    if (config.passed[at(0)]) visit(extensions.substr(0, size));
    extensions.remove_prefix(size);
  }
}

bool write_frame(const config::ProxyProtocolOut& config, const ProxiedClient* client, stream::Chain& to) {
  enum Command : std::uint8_t { kLocal = 0x20, kProxy = 0x21 };
  enum Protocol : std::uint8_t { kUnspecified = 0, kTcpOverIpv4 = 0x11, kTcpOverIpv6 = 0x21 };
  std::array<std::uint8_t, 16 + 36> frame{'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n', kLocal, kUnspecified};
  std::size_t size = 16;
  const auto put = [&](auto bytes) {
    size += static_cast<std::size_t>(std::ranges::copy(bytes, &frame[size]).out - &frame[size]);
  };
  const auto put_word = [&](std::size_t at, std::size_t word) {
    frame[at] = static_cast<std::uint8_t>(word >> 8);
    frame[at + 1] = static_cast<std::uint8_t>(word);
  };
  if (client == nullptr) return to.append_copy(std::span(frame.data(), size));
  const bool v4 = both_are_v4(*client);
  frame[12] = kProxy;
  frame[13] = v4 ? kTcpOverIpv4 : kTcpOverIpv6;
  for (const IpAddress& ip : {client->source.ip, client->destination.ip}) v4 ? put(ip.v4_bytes()) : put(ip.bytes());
  for (const std::uint16_t port : {client->source.port, client->destination.port}) {
    put_word(size, port);
    size += 2;
  }
  const std::size_t addresses = size - 16;
  std::size_t extensions = 0;
  for_each_passed(config, client->extensions, [&](std::string_view extension) { extensions += extension.size(); });
  const bool fits = addresses + extensions <= kMostLength;
  put_word(14, addresses + (fits ? extensions : 0));
  bool good = to.append_copy(std::span(frame.data(), size));
  if (!fits) return good;
  for_each_passed(config, client->extensions, [&](std::string_view extension) { good = good && to.append_copy(extension); });
  return good;
}

}  // namespace

// Of who has come by a Unix socket there is nothing to tell.
bool write_proxy_header(const config::ProxyProtocolOut& config, const ProxiedClient* client, stream::Chain& to) {
  if (client != nullptr && (client->source.is_pipe() || client->destination.is_pipe())) client = nullptr;
  return config.version == config::ProxyProtocolOut::Version::kV1 ? write_line(client, to) : write_frame(config, client, to);
}

}  // namespace millrace::proxy
