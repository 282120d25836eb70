#include "dataplane/proxy/policy/path.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>

#include "dataplane/proxy/policy/field_tools.h"
#include "dataplane/proxy/policy/route_matcher.h"

namespace millrace::proxy {
namespace {

constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr bool is_unreserved(int byte) {  // RFC 3986 2.3
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '-' ||
         byte == '.' || byte == '_' || byte == '~';
}

constexpr bool must_be_escaped(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte <= 0x20 || byte >= 0x7f || std::string_view("\"#<>?^`{|}").find(c) != std::string_view::npos;
}

// Text under construction in memory of the arena that is large enough for the longest result.
class PathBuilder {
 public:
  PathBuilder(Arena& arena, std::size_t capacity) : bytes_(arena.make_array<char>(capacity)) {}

  [[nodiscard]] bool valid() const { return bytes_.data() != nullptr; }
  [[nodiscard]] std::string_view text() const { return {bytes_.data(), size_}; }
  void put(char c) { bytes_[size_++] = c; }
  void put(std::string_view text) {
    std::ranges::copy(text, bytes_.subspan(size_).begin());
    size_ += text.size();
  }
  void put_escaped(char c) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    put('%');
    put(kHex[static_cast<unsigned char>(c) >> 4]);
    put(kHex[static_cast<unsigned char>(c) & 15]);
  }

  // Ends a segment (the text after the last '/'): "." vanishes, ".." takes its parent along, others get their slash.
  void end_segment(bool slash_follows) {
    const std::size_t start = text().rfind('/') + 1;
    const std::string_view segment = text().substr(start);
    if (segment == ".") {
      size_ = start;
    } else if (segment == "..") {
      size_ = start < 2 ? 1 : text().rfind('/', start - 2) + 1;
    } else if (slash_follows) {
      put('/');
    }
  }

 private:
  std::span<char> bytes_;
  std::size_t size_ = 0;
};

bool is_normal(std::string_view path) {
  if (!path.starts_with('/') || path.find("/.") != std::string_view::npos) return false;
  return std::ranges::none_of(path, [](char c) { return c == '%' || c == '\\' || must_be_escaped(c); });
}

struct SplitPath {
  explicit SplitPath(std::string_view whole) : path(whole.substr(0, whole.find('?'))), query(whole.substr(path.size())) {}
  std::string_view path;
  std::string_view query;  // with its '?'
};

// The length of what the route's path condition matched: what prefix_rewrite replaces.
std::size_t matched_length(const config::PathMatcher& matched, std::string_view path) {
  const std::size_t whole = without_query(path).size();
  return matched.kind == config::PathMatcher::Kind::kRegex ? whole : std::min(matched.text.size(), whole);
}

std::string_view apply_rewrites(const config::PathMatcher& matched, const std::optional<std::string>& prefix_rewrite,
                                const std::optional<config::RegexRewrite>& regex_rewrite, std::string_view path,
                                std::uint32_t worker, Arena& arena) {
  if (prefix_rewrite && !prefix_rewrite->empty())
    return arena.concat({*prefix_rewrite, path.substr(matched_length(matched, path))});
  if (!regex_rewrite) return path;
  const std::string_view before = without_query(path);
  const std::string_view after = replace_all(*regex_rewrite, before, worker, arena);
  if (after.data() == nullptr || after.data() == before.data()) return after.data() == nullptr ? after : path;
  return arena.concat({after, path.substr(before.size())});
}

// Does a redirect drop the request's port: a new port is given, or the scheme changes and the port was the old one's default.
std::string_view redirect_host(const http::RequestHead& head, std::string_view new_scheme, bool new_port) {
  const std::string_view host = host_without_port(head.authority);
  const std::string_view port = head.authority.substr(host.size());
  const std::string_view old_scheme = head.headers.value(http::HeaderId::kXForwardedProto);
  const bool was_default = (old_scheme == "https" && port == ":443") || (old_scheme == "http" && port == ":80");
  return new_port || (new_scheme != old_scheme && was_default) ? host : head.authority;
}

}  // namespace

int escaped_byte(std::string_view text, std::size_t at) {
  if (text[at] != '%' || at + 2 >= text.size()) return -1;
  const int high = hex_value(text[at + 1]);
  const int low = hex_value(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

PathResult normalize_dot_segments(std::string_view& whole, Arena& arena) {
  const SplitPath split(whole);
  const std::string_view path = split.path;
  if (is_normal(path)) return PathResult::kUnchanged;
  const auto to_escape = static_cast<std::size_t>(std::ranges::count_if(path, must_be_escaped));
  PathBuilder out(arena, 1 + whole.size() + 2 * to_escape);
  if (!out.valid()) return PathResult::kOutOfMemory;
  out.put('/');
  for (std::size_t i = path.starts_with('/') || path.starts_with('\\') ? 1 : 0; i < path.size(); ++i) {
    const char c = path[i];
    const int byte = escaped_byte(path, i);
    if (byte == 0) return PathResult::kInvalid;
    if (byte > 0) {
      if (is_unreserved(byte)) {
        out.put(static_cast<char>(byte));
      } else {
        out.put(path.substr(i, 3));
      }
      i += 2;
    } else if (c == '/' || c == '\\') {
      out.end_segment(true);
    } else if (must_be_escaped(c)) {
      out.put_escaped(c);
    } else {
      out.put(c);
    }
  }
  out.end_segment(false);
  if (out.text() == path) return PathResult::kUnchanged;
  out.put(split.query);
  whole = out.text();
  return PathResult::kChanged;
}

PathResult merge_slashes(std::string_view& whole, Arena& arena) {
  const SplitPath split(whole);
  if (split.path.find("//") == std::string_view::npos) return PathResult::kUnchanged;
  PathBuilder out(arena, whole.size());
  if (!out.valid()) return PathResult::kOutOfMemory;
  char last = 0;
  for (const char c : split.path) {
    if (c != '/' || last != '/') out.put(c);
    last = c;
  }
  out.put(split.query);
  whole = out.text();
  return PathResult::kChanged;
}

PathResult unescape_slashes(std::string_view& whole, Arena& arena) {
  const SplitPath split(whole);
  const auto slash_at = [&](std::size_t i) {
    const int byte = escaped_byte(split.path, i);
    return byte == '/' || byte == '\\' ? byte : -1;
  };
  std::size_t first = 0;
  while (first < split.path.size() && slash_at(first) < 0) ++first;
  if (first == split.path.size()) return PathResult::kUnchanged;
  PathBuilder out(arena, whole.size());
  if (!out.valid()) return PathResult::kOutOfMemory;
  out.put(split.path.substr(0, first));
  for (std::size_t i = first; i < split.path.size(); ++i) {
    const int slash = slash_at(i);
    out.put(slash < 0 ? split.path[i] : static_cast<char>(slash));
    if (slash >= 0) i += 2;
  }
  out.put(split.query);
  whole = out.text();
  return PathResult::kChanged;
}

PathAction normalize_path(const config::HttpConnectionManager& manager, std::string_view& path, Arena& arena) {
  using EscapedSlashes = config::HttpConnectionManager::EscapedSlashes;
  if (path.empty()) return PathAction::kContinue;  // CONNECT
  if (path.find('#') != std::string_view::npos) return PathAction::kReject;
  PathAction action = PathAction::kContinue;
  if (manager.escaped_slashes != EscapedSlashes::kKeep) {
    const PathResult result = unescape_slashes(path, arena);
    if (result == PathResult::kOutOfMemory) return PathAction::kOutOfMemory;
    if (result == PathResult::kChanged) {
      if (manager.escaped_slashes == EscapedSlashes::kReject) return PathAction::kReject;
      if (manager.escaped_slashes == EscapedSlashes::kUnescapeAndRedirect) action = PathAction::kRedirect;
    }
  }
  if (manager.normalize_path) {
    const PathResult result = normalize_dot_segments(path, arena);
    if (result == PathResult::kInvalid) return PathAction::kReject;
    if (result == PathResult::kOutOfMemory) return PathAction::kOutOfMemory;
  }
  // After the dot segments, which may leave double slashes behind.
  if (manager.merge_slashes && merge_slashes(path, arena) == PathResult::kOutOfMemory) return PathAction::kOutOfMemory;
  return action;
}

std::string_view rewrite_path(const config::PathMatcher& matched, const config::ForwardAction& action, std::string_view path,
                              std::uint32_t worker, Arena& arena) {
  return apply_rewrites(matched, action.prefix_rewrite, action.regex_rewrite, path, worker, arena);
}

std::string_view redirect_location(const config::PathMatcher& matched, const config::RedirectAction& action,
                                   const http::RequestHead& head, std::uint32_t worker, Arena& arena) {
  const std::string_view scheme = action.scheme.empty() ? head.scheme : std::string_view(action.scheme);
  std::array<char, kMaxDecimalBytes> digits;
  const std::string_view port = action.port ? write_decimal(*action.port, digits) : std::string_view();
  const std::string_view host =
      action.host.empty() ? redirect_host(head, scheme, action.port.has_value()) : std::string_view(action.host);

  std::string_view path;
  std::string_view query;
  bool strip_query = action.strip_query;
  if (action.path && !action.path->empty()) {
    path = *action.path;
    // A query of the new path replaces the request's, and is never stripped.
    const bool has_query = path.find('?') != std::string_view::npos;
    if (!has_query) query = SplitPath(head.path).query;
    strip_query = strip_query && !has_query;
  } else {
    path = apply_rewrites(matched, action.prefix_rewrite, action.regex_rewrite, head.path, worker, arena);
    if (path.data() == nullptr && head.path.data() != nullptr) return {};
  }
  if (strip_query) {
    path = SplitPath(path).path;
    query = {};
  }
  return arena.concat({scheme, "://", host, action.port ? ":" : "", port, path, query});
}

std::string_view tls_redirect_location(const http::RequestHead& head, Arena& arena) {
  return arena.concat({"https://", redirect_host(head, "https", false), head.path});
}

}  // namespace millrace::proxy
