// What becomes of a request's path: normalisation before routing (RFC 3986 6.2.2.2 and 6.2.2.3; like Envoy, the case of escapes
// is kept), rewriting before forwarding, the Location of redirects. Results live in the arena; a null data() means that the
// arena is exhausted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "config/model/listener.h"
#include "config/model/route.h"
#include "dataplane/base/arena.h"
#include "dataplane/http/message.h"

namespace millrace::proxy {

enum class PathResult : std::uint8_t {
  kUnchanged,
  kChanged,
  kInvalid,      ///< not to be normalised (an escaped NUL): 400
  kOutOfMemory,  ///< the arena is exhausted: 503
};

/// Each works on the part before '?', and replaces `path` when it returns kChanged.
[[nodiscard]] PathResult normalize_dot_segments(std::string_view& path, Arena& arena);  ///< also unescapes what needs no escape
[[nodiscard]] PathResult merge_slashes(std::string_view& path, Arena& arena);
[[nodiscard]] PathResult unescape_slashes(std::string_view& path, Arena& arena);  ///< %2F and %5C

enum class PathAction : std::uint8_t { kContinue, kReject, kRedirect, kOutOfMemory };

/// All that the connection manager is configured to do, in Envoy's order: fragment refused, escaped slashes, dot segments,
/// slashes merged. kReject: 400. kRedirect: 307 to the new `path`.
[[nodiscard]] PathAction normalize_path(const config::HttpConnectionManager& manager, std::string_view& path, Arena& arena);

/// The path to forward: the matched prefix or the regex's matches replaced, the query kept. The same view when nothing changes.
[[nodiscard]] std::string_view rewrite_path(const config::PathMatcher& matched, const config::ForwardAction& action,
                                            std::string_view path, std::uint32_t worker, Arena& arena);

/// The Location of a redirect. head.scheme must be set (prepare_request sees to it).
[[nodiscard]] std::string_view redirect_location(const config::PathMatcher& matched, const config::RedirectAction& action,
                                                 const http::RequestHead& head, std::uint32_t worker, Arena& arena);
/// "https://" + authority + path: what virtual hosts with require_tls answer to plaintext.
[[nodiscard]] std::string_view tls_redirect_location(const http::RequestHead& head, Arena& arena);

/// The byte that the "%xy" at `at` stands for; -1: there is no escape.
[[nodiscard]] int escaped_byte(std::string_view text, std::size_t at);

/// Replaces every match of `rewrite.regex` in `text` (RE2::GlobalReplace's rules, without its heap string).
[[nodiscard]] std::string_view replace_all(const config::RegexRewrite& rewrite, std::string_view text, std::uint32_t worker,
                                           Arena& arena);

}  // namespace millrace::proxy
