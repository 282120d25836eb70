#include "dataplane/proxy/policy/server_name.h"

#include <algorithm>

#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {

std::string_view server_name_of(const http::RequestHead& head, std::string_view header, Arena& arena) {
  const std::string_view field = header.empty() ? std::string_view() : head.headers.value(header);
  std::string_view host = host_without_port(field.empty() ? head.authority : field);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  if (std::ranges::none_of(host, is_upper)) return host;
  const std::span<char> lower = arena.make_array<char>(host.size());
  if (lower.empty()) return {};
  std::ranges::transform(host, lower.begin(), [&](char c) { return is_upper(c) ? static_cast<char>(c + ('a' - 'A')) : c; });
  return {lower.data(), lower.size()};
}

}  // namespace millrace::proxy
