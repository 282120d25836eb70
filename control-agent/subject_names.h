// Which names of a certificate will do: envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher, and the plain
// StringMatchers that it has replaced.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/model/matcher.h"
#include "dataplane/base/result.h"
#include "envoy/type/matcher/v3/string.pb.h"
#include "tls/certificate.h"

namespace millrace::agent {

/// What is wrong with a StringMatcher, and with which of its fields.
struct MatcherError {
  std::string field;
  std::string text;
};

struct SubjectNameMatcher {
  std::vector<tls::NameKind> kinds;  ///< any of them
  config::StringMatcher value;
};

[[nodiscard]] Result<SubjectNameMatcher, MatcherError> make_name_matcher(const envoy::type::matcher::v3::StringMatcher& matcher,
                                                                         std::vector<tls::NameKind> kinds);

/// As Envoy: an exact DNS name is also matched by a certificate's wildcard; everything else is compared as text.
[[nodiscard]] bool matches(const SubjectNameMatcher& matcher, const tls::SubjectName& name);

/// One of the names matches one of the matchers; always, when there are none. Any thread may call it, many at a time.
[[nodiscard]] std::function<bool(std::span<const tls::SubjectName>)> accept_any_of(std::vector<SubjectNameMatcher> matchers);

}  // namespace millrace::agent
