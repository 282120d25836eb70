// Whether the DNS name of a certificate stands for a host: RFC 6125 6.4.3 as Envoy reads it, which lets a wildcard be a part of
// the first label.
#pragma once

#include <algorithm>
#include <string_view>

namespace millrace::tls {

/// `pattern` is what the certificate says, "*.example.com" or "a*c.example.com"; `host` has no wildcard. Case does not matter. A
/// wildcard stands for a part of the first label alone, and never for one of an internationalised label ("xn--").
[[nodiscard]] inline bool dns_name_matches(std::string_view host, std::string_view pattern) {
  const auto same = [](std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
    return std::ranges::equal(a, b, {}, lower, lower);
  };
  if (same(host, pattern)) return true;
  const auto host_dot = host.find('.');
  const auto pattern_dot = pattern.find('.');
  if (host_dot == std::string_view::npos || pattern_dot == std::string_view::npos) return false;
  if (!same(host.substr(host_dot), pattern.substr(pattern_dot))) return false;
  const std::string_view label = host.substr(0, host_dot);
  const std::string_view wild = pattern.substr(0, pattern_dot);
  const auto star = wild.find('*');
  if (star == std::string_view::npos || wild.find('*', star + 1) != std::string_view::npos) return false;
  if (same(wild.substr(0, 4), "xn--") || label.empty() || label.size() + 1 < wild.size()) return false;
  const std::string_view tail = wild.substr(star + 1);
  return same(label.substr(0, star), wild.substr(0, star)) && same(label.substr(label.size() - tail.size()), tail);
}

}  // namespace millrace::tls
