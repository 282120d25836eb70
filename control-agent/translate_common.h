// Translations that several messages need: durations, addresses, texts from a DataSource, formats, matchers. For translate_*.cc
// only.
#pragma once

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/repeated_field.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/model/matcher.h"
#include "config/model/route.h"
#include "control-agent/translate.h"
#include "dataplane/base/time.h"
#include "envoy/config/core/v3/address.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/type/matcher/v3/regex.pb.h"
#include "envoy/type/matcher/v3/string.pb.h"
#include "envoy/type/v3/percent.pb.h"

namespace millrace::agent {

inline constexpr std::size_t kMaxDataSourceBytes = 1024 * 1024;

[[nodiscard]] std::string lower(std::string_view text);

/// What fits into nanoseconds (292 years); longer ones become infinite, negative ones an error.
[[nodiscard]] Duration translate_duration(const google::protobuf::Duration& duration, const std::string& path,
                                          Diagnostics& diagnostics);

enum class AddressUse : std::uint8_t { kListener, kEndpoint, kAdmin };
/// Of a pipe, what stands for its path, which is `address.pipe().path()`. Nothing after an error.
[[nodiscard]] std::optional<SocketAddress> translate_address(const envoy::config::core::v3::Address& address,
                                                             const std::string& path, AddressUse use, Diagnostics& diagnostics);

/// Nothing after an error.
[[nodiscard]] std::optional<IpPrefix> translate_prefix(const envoy::config::core::v3::CidrRange& range, const std::string& path,
                                                       Diagnostics& diagnostics);

/// The bytes; nothing after an error or when no source is set.
[[nodiscard]] std::optional<std::string> read_data_source(const envoy::config::core::v3::DataSource& source,
                                                          const std::string& path, Diagnostics& diagnostics);

[[nodiscard]] config::Format translate_format(std::string_view text, const std::string& path, Diagnostics& diagnostics);

[[nodiscard]] config::Regex translate_regex(const envoy::type::matcher::v3::RegexMatcher& regex, const std::string& path,
                                            TranslateContext& context);
[[nodiscard]] config::StringMatcher translate_string_matcher(const envoy::type::matcher::v3::StringMatcher& matcher,
                                                             const std::string& path, TranslateContext& context);
[[nodiscard]] config::HeaderMatcher translate_header_matcher(const envoy::config::route::v3::HeaderMatcher& matcher,
                                                             const std::string& path, TranslateContext& context);
/// All of a list, whose path is `path`.
[[nodiscard]] std::vector<config::HeaderMatcher> translate_header_matchers(
    const google::protobuf::RepeatedPtrField<envoy::config::route::v3::HeaderMatcher>& matchers, const std::string& path,
    TranslateContext& context);
[[nodiscard]] config::Fraction translate_fraction(const envoy::type::v3::FractionalPercent& percent);
/// What the runtime says of `key`; `otherwise` where it says nothing that can be read as one, or the key is empty.
[[nodiscard]] config::Fraction runtime_fraction(const std::string& key, config::Fraction otherwise, TranslateContext& context);
[[nodiscard]] std::uint64_t runtime_number(const std::string& key, std::uint64_t otherwise, TranslateContext& context);
/// What the runtime says of its key, or else the default.
[[nodiscard]] config::Fraction translate_fraction(const envoy::config::core::v3::RuntimeFractionalPercent& fraction,
                                                  TranslateContext& context);
[[nodiscard]] bool translate_flag(const envoy::config::core::v3::RuntimeFeatureFlag& flag, TranslateContext& context);
[[nodiscard]] config::QueryParameterMatcher translate_query_matcher(
    const envoy::config::route::v3::QueryParameterMatcher& matcher, const std::string& path, TranslateContext& context);

using HeaderOptions = google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValueOption>;
using HeaderNames = google::protobuf::RepeatedPtrField<std::string>;
/// `path` is that of the list. Pseudo fields and "host" cannot be changed (Envoy refuses them too).
[[nodiscard]] std::vector<config::HeaderMutation> translate_header_options(const HeaderOptions& options, const std::string& path,
                                                                           Diagnostics& diagnostics);
/// One of them; `path` is its own.
[[nodiscard]] config::HeaderMutation translate_header_option(const envoy::config::core::v3::HeaderValueOption& option,
                                                             const std::string& path, Diagnostics& diagnostics);
[[nodiscard]] std::string translate_header_removal(const std::string& name, const std::string& path, Diagnostics& diagnostics);
[[nodiscard]] std::vector<std::string> translate_header_removals(const HeaderNames& names, const std::string& path,
                                                                 Diagnostics& diagnostics);

/// The four lists that every level of a route configuration has.
template <typename Message>
config::HeaderMutations translate_mutations(const Message& message, const std::string& path, Diagnostics& diagnostics) {
  return {
      translate_header_options(message.request_headers_to_add(), join_path(path, "request_headers_to_add"), diagnostics),
      translate_header_removals(message.request_headers_to_remove(), join_path(path, "request_headers_to_remove"), diagnostics),
      translate_header_options(message.response_headers_to_add(), join_path(path, "response_headers_to_add"), diagnostics),
      translate_header_removals(message.response_headers_to_remove(), join_path(path, "response_headers_to_remove"),
                                diagnostics)};
}

/// The content of `any` when it is a T; nothing, without an error, when it is not (field_table.h has reported it).
template <typename T>
std::optional<T> unpack(const google::protobuf::Any& any) {
  T content;
  if (!any.Is<T>() || !any.UnpackTo(&content)) return std::nullopt;
  return content;
}

}  // namespace millrace::agent
