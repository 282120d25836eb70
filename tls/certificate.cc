#include "tls/certificate.h"

#include <algorithm>

namespace millrace::tls {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same(std::string_view a, std::string_view b) { return std::ranges::equal(a, b, {}, lower, lower); }

}  // namespace

bool matches_dns_name(std::string_view pattern, std::string_view name) {
  if (same(pattern, name)) return true;
  const std::size_t name_dot = name.find('.');
  const std::size_t pattern_dot = pattern.find('.');
  if (name_dot == std::string_view::npos || pattern_dot == std::string_view::npos) return false;
  if (!same(name.substr(name_dot), pattern.substr(pattern_dot))) return false;
  const std::string_view label = name.substr(0, name_dot);
  const std::string_view wild = pattern.substr(0, pattern_dot);
  const std::size_t star = wild.find('*');
  if (star == std::string_view::npos || wild.find('*', star + 1) != std::string_view::npos) return false;
  if (same(wild.substr(0, 4), "xn--") || label.empty() || label.size() + 1 < wild.size()) return false;
  const std::string_view tail = wild.substr(star + 1);
  return same(label.substr(0, star), wild.substr(0, star)) && same(label.substr(label.size() - tail.size()), tail);
}

}  // namespace millrace::tls
