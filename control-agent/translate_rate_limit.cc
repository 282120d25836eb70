#include "control-agent/translate_rate_limit.h"

#include <utility>

#include "control-agent/translate_common.h"

namespace millrace::agent {

namespace {

using Action = envoy::config::route::v3::RateLimit::Action;
using Kind = config::RateLimitAction::Kind;

constexpr Duration kShortestFill = Duration::milliseconds(50);

config::RateLimitAction entry(Kind kind, std::string key, std::string value = {}) {
  config::RateLimitAction out;
  out.kind = kind;
  out.key = std::move(key);
  out.value = std::move(value);
  return out;
}

/// A key that may be left out.
std::string key_or(const std::string& key, std::string_view otherwise) { return key.empty() ? std::string(otherwise) : key; }

config::RateLimitAction translate_header(const Action::RequestHeaders& action) {
  config::RateLimitAction out = entry(Kind::kRequestHeader, action.descriptor_key());
  out.header = lower(action.header_name());
  out.skip_if_absent = action.skip_if_absent();
  return out;
}

config::RateLimitAction translate_masked_address(const Action::MaskedRemoteAddress& action) {
  config::RateLimitAction out = entry(Kind::kMaskedRemoteAddress, "masked_remote_address");
  if (action.has_v4_prefix_mask_len()) out.v4_bits = static_cast<std::uint8_t>(action.v4_prefix_mask_len().value());
  if (action.has_v6_prefix_mask_len()) out.v6_bits = static_cast<std::uint8_t>(action.v6_prefix_mask_len().value());
  return out;
}

template <typename Match>
config::RateLimitAction translate_match(Kind kind, const Match& action, std::string_view default_key) {
  config::RateLimitAction out = entry(kind, key_or(action.descriptor_key(), default_key), action.descriptor_value());
  if (action.has_expect_match()) out.expect_match = action.expect_match().value();
  return out;
}

// What the field table refuses comes here too, and its error stands already.
config::RateLimitAction translate_action(const Action& action, const std::string& path, TranslateContext& context) {
  switch (action.action_specifier_case()) {
    case Action::kSourceCluster: return entry(Kind::kConstant, "source_cluster", context.service_cluster);
    case Action::kDestinationCluster: return entry(Kind::kDestinationCluster, "destination_cluster");
    case Action::kRequestHeaders: return translate_header(action.request_headers());
    case Action::kRemoteAddress: return entry(Kind::kRemoteAddress, "remote_address");
    case Action::kMaskedRemoteAddress: return translate_masked_address(action.masked_remote_address());
    case Action::kGenericKey:
      return entry(Kind::kConstant, key_or(action.generic_key().descriptor_key(), "generic_key"),
                   action.generic_key().descriptor_value());
    case Action::kHeaderValueMatch: {
      auto out = translate_match(Kind::kHeaderMatch, action.header_value_match(), "header_match");
      out.headers = translate_header_matchers(action.header_value_match().headers(),
                                              join_path(join_path(path, "header_value_match"), "headers"), context);
      return out;
    }
    case Action::kQueryParameterValueMatch: {
      const auto& match = action.query_parameter_value_match();
      auto out = translate_match(Kind::kQueryMatch, match, "query_match");
      const std::string list = join_path(join_path(path, "query_parameter_value_match"), "query_parameters");
      for (int i = 0; i < match.query_parameters_size(); ++i) {
        out.query_parameters.push_back(
            translate_query_matcher(match.query_parameters(i), index_path(list, static_cast<std::size_t>(i)), context));
      }
      return out;
    }
    default: return {};
  }
}

}  // namespace

std::vector<config::RateLimit> translate_rate_limits(const RateLimits& rate_limits, const std::string& path,
                                                     TranslateContext& context) {
  std::vector<config::RateLimit> out;
  for (int i = 0; i < rate_limits.size(); ++i) {
    const std::string list = join_path(index_path(path, static_cast<std::size_t>(i)), "actions");
    config::RateLimit& limit = out.emplace_back();
    limit.stage = rate_limits[i].stage().value();
    for (int j = 0; j < rate_limits[i].actions_size(); ++j) {
      limit.actions.push_back(
          translate_action(rate_limits[i].actions(j), index_path(list, static_cast<std::size_t>(j)), context));
    }
  }
  return out;
}

config::RateLimitBucket translate_token_bucket(const envoy::type::v3::TokenBucket& bucket, const std::string& path,
                                               TranslateContext& context) {
  const std::string interval_path = join_path(path, "fill_interval");
  const Duration interval = translate_duration(bucket.fill_interval(), interval_path, context.diagnostics);
  if (interval < kShortestFill) context.diagnostics.error(interval_path, "must be at least 50ms");
  const std::uint32_t per_fill = bucket.has_tokens_per_fill() ? bucket.tokens_per_fill().value() : 1;
  if (bucket.max_tokens() == 0 || per_fill == 0) return {};  // validate.rules have refused it
  config::RateLimitBucket out;
  out.limits = SharedTokenBucket::Limits::of(bucket.max_tokens(), per_fill, interval);
  return share_token_bucket(out, path, context);
}

config::RateLimitBucket share_token_bucket(const config::RateLimitBucket& bucket, const std::string& key,
                                           TranslateContext& context) {
  config::RateLimitBucket out = bucket;
  out.cell = context.cells.token_buckets.get(key + "|" + std::to_string(out.limits.max_tokens) + "|" +
                                             std::to_string(out.limits.per_token.to_nanoseconds()));
  return out;
}

}  // namespace millrace::agent
