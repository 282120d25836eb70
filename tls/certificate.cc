#include "tls/certificate.h"

#include <algorithm>

namespace millrace::tls {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same(std::string_view a, std::string_view b) { return std::ranges::equal(a, b, {}, lower, lower); }

}  // namespace

bool matches_dns_name(std::string_view pattern, std::string_view name) {
  if (same(pattern, name)) return true;
  const std::size_t label = name.find('.');
  return pattern.starts_with("*.") && label != std::string_view::npos && label > 0 && same(pattern.substr(1), name.substr(label));
}

}  // namespace millrace::tls
