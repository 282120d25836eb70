#include "dataplane/proxy/filters/jwt_locations.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {
namespace {

using Kind = config::JwtLocation::Kind;

constexpr std::string_view kTokenCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";

void add(std::string_view text, const config::JwtLocation& location, FoundJwts& out) {
  if (out.count == out.tokens.size()) {
    out.too_many = true;
  } else {
    out.tokens[out.count++] = {text, &location};
  }
}

// The rest behind the prefix, from the first character that can be part of a token on; all of the value when there is none.
void find_in_fields(const config::JwtLocation& location, const http::RequestHead& head, FoundJwts& out) {
  for (const http::HeaderField& field : head.headers.fields()) {
    if (field.name != location.name) continue;
    const std::size_t at = field.value.find(location.prefix);
    if (at == std::string_view::npos) continue;
    const std::size_t start =
        location.prefix.empty() ? 0 : field.value.find_first_of(kTokenCharacters, at + location.prefix.size());
    add(start == std::string_view::npos ? field.value : field.value.substr(start), location, out);
  }
}

/// Calls visit(parameter) for each "name=value" of the path's query.
template <typename Visit>
void for_each_parameter(std::string_view path, Visit&& visit) {
  path = path.substr(0, path.find('#'));
  std::size_t next = path.find('?');
  while (next != std::string_view::npos) {
    path.remove_prefix(next + 1);
    next = path.find('&');
    visit(path.substr(0, next));
  }
}

std::string_view name_of(std::string_view parameter) { return parameter.substr(0, parameter.find('=')); }

/// Null data(): no memory.
std::string_view unescape(std::string_view text, Arena& arena) {
  if (!text.contains('%')) return text;
  const std::span<char> out = arena.make_array<char>(text.size());
  if (out.empty()) return {};
  std::size_t size = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    unsigned byte = 0;
    if (text[at] == '%' && at + 2 < text.size() &&
        std::from_chars(&text[at + 1], &text[at + 1] + 2, byte, 16).ptr == &text[at + 1] + 2) {
      out[size++] = static_cast<char>(byte);
      at += 2;
    } else {
      out[size++] = text[at];
    }
  }
  return {out.data(), size};
}

bool find_in_query(const config::JwtLocation& location, const http::RequestHead& head, FoundJwts& out) {
  std::optional<std::string_view> value;
  for_each_parameter(head.path, [&](std::string_view parameter) {
    if (value || name_of(parameter) != location.name) return;
    value = parameter.substr(std::min(parameter.size(), location.name.size() + 1));
  });
  if (!value) return true;
  const std::string_view text = unescape(*value, head.headers.arena());
  if (text.data() == nullptr) return false;
  add(text, location, out);
  return true;
}

void find_in_cookies(const config::JwtLocation& location, const http::RequestHead& head, FoundJwts& out) {
  for (const http::HeaderField& field : head.headers.fields()) {
    if (field.id != http::HeaderId::kCookie) continue;
    for (std::size_t at = 0; at < field.value.size();) {
      const std::size_t end = std::min(field.value.find(';', at), field.value.size());
      const std::string_view cookie = trim(field.value.substr(at, end - at));
      at = end + 1;
      if (!cookie.contains('=') || name_of(cookie) != location.name) continue;
      std::string_view value = cookie.substr(location.name.size() + 1);
      if (value.size() >= 2 && value.starts_with('"') && value.ends_with('"')) value = value.substr(1, value.size() - 2);
      add(value, location, out);
      return;
    }
  }
}

}  // namespace

bool find_jwts(std::span<const config::JwtLocation> locations, const http::RequestHead& head, FoundJwts& out) {
  return std::ranges::all_of(locations, [&](const config::JwtLocation& location) {
    switch (location.kind) {
      case Kind::kHeader: find_in_fields(location, head, out); return true;
      case Kind::kParameter: return find_in_query(location, head, out);
      case Kind::kCookie: find_in_cookies(location, head, out); return true;
    }
    return true;
  });
}

bool remove_jwt(const config::JwtLocation& location, http::RequestHead& head) {
  if (location.kind == Kind::kHeader) head.headers.remove(location.name);
  if (location.kind != Kind::kParameter) return true;
  const std::span<char> out = head.headers.arena().make_array<char>(head.path.size());
  if (out.empty()) return head.path.empty();
  std::size_t size = 0;
  const auto put = [&](std::string_view text) {
    size = static_cast<std::size_t>(std::ranges::copy(text, out.data() + size).out - out.data());
  };
  put(head.path.substr(0, head.path.find_first_of("?#")));
  char separator = '?';
  for_each_parameter(head.path, [&](std::string_view parameter) {
    if (name_of(parameter) == location.name) return;
    put({&separator, 1});
    put(parameter);
    separator = '&';
  });
  head.path = {out.data(), size};
  return true;
}

}  // namespace millrace::proxy
