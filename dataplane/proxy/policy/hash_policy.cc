#include "dataplane/proxy/policy/hash_policy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <new>
#include <span>

#include "dataplane/base/hash.h"
#include "dataplane/base/hex.h"
#include "dataplane/proxy/policy/field_tools.h"
#include "dataplane/proxy/policy/path.h"
#include "dataplane/proxy/policy/route_matcher.h"

namespace millrace::proxy {
namespace {

/// What all policies of one request work on.
struct Request {
  const http::RequestHead& head;
  const StreamInfo& info;
  std::uint32_t worker;
  Arena& arena;
};

bool is_pseudo(std::string_view name) { return name.starts_with(':') || name == "host"; }

// Several fields of the name hash alike in whatever order they come.
std::optional<std::uint64_t> header_hash(const config::HashPolicy& policy, const Request& request) {
  const auto is_it = [&](const http::HeaderField& field) { return field.name == policy.name; };
  const auto fields = request.head.headers.fields();
  const bool pseudo = is_pseudo(policy.name);
  const std::size_t count = pseudo ? 1 : static_cast<std::size_t>(std::ranges::count_if(fields, is_it));
  if (count == 0) return std::nullopt;
  const std::span<std::string_view> values = request.arena.make_array<std::string_view>(count);
  if (values.empty()) return std::nullopt;
  if (pseudo) {
    values[0] = request_value(request.head, policy.name);
    if (values[0].data() == nullptr) return std::nullopt;
  } else {
    auto next = values.begin();
    for (const http::HeaderField& field : fields) {
      if (is_it(field)) *next++ = field.value;
    }
  }
  if (policy.rewrite) {
    for (std::string_view& value : values) {
      value = replace_all(*policy.rewrite, value, request.worker, request.arena);
      if (value.data() == nullptr) return std::nullopt;
    }
  }
  std::ranges::sort(values);
  std::uint64_t hash = 0;
  for (const std::string_view value : values) hash = xx_hash_64(value, hash);
  return hash;
}

// Of the first parameter of that name, as it stands in the path.
std::optional<std::uint64_t> parameter_hash(const config::HashPolicy& policy, std::string_view path) {
  path = path.substr(0, path.find('#'));
  std::size_t next = path.find('?');
  while (next != std::string_view::npos) {
    path.remove_prefix(next + 1);
    next = path.find('&');
    const std::string_view parameter = path.substr(0, next);
    const std::size_t equal = std::min(parameter.find('='), parameter.size());
    if (parameter.substr(0, equal) != policy.name) continue;
    return xx_hash_64(parameter.substr(std::min(equal + 1, parameter.size())));
  }
  return std::nullopt;
}

// The same for all requests of one connection: those that come together must not be sent to several endpoints.
std::optional<std::uint64_t> make_cookie(const config::HashPolicy& policy, const Request& request, const MadeCookie**& end) {
  std::array<char, 2 * SocketAddress::kMaxText> addresses;
  std::size_t size = request.info.downstream_direct_remote.format_to(addresses);
  size += request.info.downstream_local.format_to(std::span(addresses).subspan(size));
  const std::uint64_t id = xx_hash_64({addresses.data(), size});
  std::array<char, 16> text;
  for (std::size_t i = 0; i < 8; ++i) {
    std::ranges::copy(hex_digits(static_cast<std::uint8_t>(id >> (56 - 8 * i))),
                      text.begin() + static_cast<std::ptrdiff_t>(2 * i));
  }
  const std::string_view value(text.data(), text.size());
  const std::string_view whole = request.arena.concat({policy.name, "=\"", value, "\"", *policy.cookie_attributes});
  void* memory = request.arena.allocate(sizeof(MadeCookie), alignof(MadeCookie));
  if (whole.data() == nullptr || memory == nullptr) return std::nullopt;
  auto* cookie = ::new (memory) MadeCookie{.value = whole};
  *end = cookie;
  end = &cookie->next;
  return xx_hash_64(value);
}

}  // namespace

RequestHash hash_of(const config::HashPolicies& policies, const http::RequestHead& head, const StreamInfo& info,
                    std::uint32_t worker, Arena& arena) {
  using Source = config::HashPolicy::Source;
  const Request request{head, info, worker, arena};
  RequestHash out;
  const MadeCookie** end = &out.cookies;
  for (const config::HashPolicy& policy : policies) {
    std::optional<std::uint64_t> hash;
    switch (policy.source) {
      case Source::kHeader: hash = header_hash(policy, request); break;
      case Source::kSourceIp:
        if (!info.downstream_remote.is_pipe()) hash = source_ip_hash(info.downstream_remote);
        break;
      case Source::kQueryParameter: hash = parameter_hash(policy, head.path); break;
      case Source::kCookie:
        if (const std::string_view value = cookie_value(head.headers, policy.name); !value.empty()) {
          hash = xx_hash_64(value);
        } else if (policy.cookie_attributes) {
          hash = make_cookie(policy, request, end);
        }
        break;
    }
    // Turned, so that two equal ones do not cancel each other out.
    if (hash) out.hash = std::rotl(out.hash.value_or(0), 1) ^ *hash;
    if (policy.terminal && out.hash) break;
  }
  return out;
}

std::uint64_t source_ip_hash(const SocketAddress& client) {
  std::array<char, IpAddress::kMaxText> text;
  return xx_hash_64({text.data(), client.ip.format_to(text)});
}

std::string_view cookie_value(const http::HeaderMap& headers, std::string_view name) {
  if (!headers.contains(http::HeaderId::kCookie)) return {};
  for (const http::HeaderField& field : headers.fields()) {
    if (field.id != http::HeaderId::kCookie) continue;
    for (std::string_view rest = field.value; !rest.empty();) {
      const std::size_t end = std::min(rest.find(';'), rest.size());
      const std::string_view pair = trim(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      const std::size_t equal = pair.find('=');
      if (equal == std::string_view::npos || pair.substr(0, equal) != name) continue;
      std::string_view value = pair.substr(equal + 1);
      if (value.size() >= 2 && value.starts_with('"') && value.ends_with('"')) value = value.substr(1, value.size() - 2);
      return value;
    }
  }
  return {};
}

}  // namespace millrace::proxy
