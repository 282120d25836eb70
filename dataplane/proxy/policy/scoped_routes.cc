#include "dataplane/proxy/policy/scoped_routes.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/limits.h"

namespace millrace::proxy {
namespace {

/// Takes the first element off `rest`; the last one leaves nothing.
std::string_view take_element(std::optional<std::string_view>& rest, std::string_view separator) {
  const std::size_t end = separator.empty() ? std::string_view::npos : rest->find(separator);
  const std::string_view element = rest->substr(0, end);
  if (end == std::string_view::npos) {
    rest.reset();
  } else {
    rest->remove_prefix(end + separator.size());
  }
  return element;
}

/// The names of pseudo fields stand in the head itself.
std::optional<std::string_view> field_value(std::string_view name, const http::RequestHead& head) {
  if (name == ":authority" || name == "host") return head.authority;
  if (name == ":path") return head.path;
  if (name == ":method") return head.method;
  if (name == ":scheme") return head.scheme;
  const http::HeaderField* field = head.headers.find(name);
  if (field == nullptr) return std::nullopt;
  return field->value;
}

}  // namespace

std::optional<std::string_view> scope_fragment(const config::ScopeFragment& fragment, const http::RequestHead& head) {
  std::optional<std::string_view> rest = field_value(fragment.header, head);
  for (std::uint32_t i = 0; rest; ++i) {
    const std::string_view element = take_element(rest, fragment.element_separator);
    if (!fragment.pair) {
      if (i == fragment.index) return element;
      continue;
    }
    const std::size_t end = element.find(fragment.pair->separator);
    if (element.substr(0, end) != fragment.pair->key) continue;
    return end == std::string_view::npos ? std::string_view() : element.substr(end + fragment.pair->separator.size());
  }
  return std::nullopt;
}

const config::RouteTable* route_table_of(const config::HttpConnectionManager& manager, const http::RequestHead& head) {
  if (manager.scoped == nullptr) return manager.routes.get();
  std::array<std::string_view, limits::kMaxScopeFragments> key;
  std::size_t size = 0;
  for (const config::ScopeFragment& fragment : manager.scoped->fragments) {
    const auto value = scope_fragment(fragment, head);
    if (!value) return nullptr;
    key[size++] = *value;
  }
  const config::Scope* scope = manager.scoped->find(std::span(key).first(size));
  return scope == nullptr ? nullptr : scope->routes.get();
}

}  // namespace millrace::proxy
