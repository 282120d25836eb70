#include <algorithm>
#include <map>
#include <memory>
#include <tuple>
#include <utility>

#include "control-agent/filters/rows.h"
#include "control-agent/json_web_keys.h"
#include "control-agent/jwks/key_set_store.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_route_match.h"
#include "dataplane/base/limits.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;
namespace jwt = envoy::extensions::filters::http::jwt_authn::v3;
using Kind = config::JwtRequirement::Kind;

namespace {

constexpr std::uint32_t kDefaultCacheEntries = 100;
constexpr Duration kMostBackOff = Duration::seconds(86'400);

std::vector<std::string> bare_audiences(const google::protobuf::RepeatedPtrField<std::string>& audiences) {
  std::vector<std::string> out;
  for (const std::string& audience : audiences) out.emplace_back(config::bare_audience(audience));
  return out;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> out;
  for (std::size_t end = 0; end != std::string_view::npos;) {
    end = text.find(separator);
    out.emplace_back(text.substr(0, end));
    if (end != std::string_view::npos) text.remove_prefix(end + 1);
  }
  return out;
}

// As Envoy does, a set without a key is no error: issuers publish sets that change, and one of many providers may wait for its
// own.
config::JsonWebKeys translate_keys(const jwt::JwtProvider& provider, const std::string& path, Diagnostics& diagnostics) {
  if (!provider.has_local_jwks()) return {};
  const std::string jwks_path = join_path(path, "local_jwks");
  const auto text = read_data_source(provider.local_jwks(), jwks_path, diagnostics);
  if (!text) return {};
  auto set = parse_json_web_keys(*text);
  if (!set) {
    diagnostics.warning(jwks_path, set.error() + "; every token of this provider will be refused");
    return {};
  }
  for (const std::string& reason : set->left_out) diagnostics.warning(jwks_path, "a key is left out: " + reason);
  return std::move(set->keys);
}

// As Envoy does: of the URI only host and path count, the cluster says where they are found and over which transport.
void split_uri(const std::string& uri, const std::string& path, KeySetPlan& out, Diagnostics& diagnostics) {
  constexpr std::string_view kSchemeEnd = "://";
  const std::size_t scheme = uri.find(kSchemeEnd);
  const std::size_t host = scheme == std::string::npos ? 0 : scheme + kSchemeEnd.size();
  const std::size_t end = std::min(uri.find('/', host), uri.size());
  out.uri = uri;
  out.authority = uri.substr(host, end - host);
  out.path = end == uri.size() ? "/" : uri.substr(end);
  const bool is_clean = std::ranges::all_of(uri, [](unsigned char c) { return c > ' ' && c != 0x7f; });
  if (out.authority.empty() || !is_clean)
    diagnostics.error(path, "\"" + uri + "\" is not a URI with a host: write it as https://issuer.example/keys");
}

void translate_retries(const core::RetryPolicy& policy, const std::string& path, KeySetPlan& out, Diagnostics& diagnostics) {
  out.retries = policy.has_num_retries() ? policy.num_retries().value() : 1;
  if (!policy.has_retry_back_off()) return;
  const auto& back_off = policy.retry_back_off();
  const std::string back_off_path = join_path(path, "retry_back_off");
  out.base_interval = translate_duration(back_off.base_interval(), join_path(back_off_path, "base_interval"), diagnostics);
  out.base_interval = std::min(out.base_interval, kMostBackOff);
  out.max_interval = out.base_interval * 10;
  if (!back_off.has_max_interval()) return;
  out.max_interval = translate_duration(back_off.max_interval(), join_path(back_off_path, "max_interval"), diagnostics);
  if (out.max_interval < out.base_interval)
    diagnostics.error(join_path(back_off_path, "max_interval"), "must not be less than base_interval");
}

std::shared_ptr<config::JsonWebKeySlot> translate_remote(const jwt::RemoteJwks& remote, const std::string& path,
                                                         TranslateContext& context) {
  const auto duration = [&](const google::protobuf::Duration& source, std::string_view field) {
    return translate_duration(source, join_path(path, field), context.diagnostics);
  };
  KeySetPlan plan;
  split_uri(remote.http_uri().uri(), join_path(path, "http_uri.uri"), plan, context.diagnostics);
  plan.cluster = remote.http_uri().cluster();
  plan.timeout = duration(remote.http_uri().timeout(), "http_uri.timeout");
  if (remote.has_cache_duration()) plan.cache_duration = duration(remote.cache_duration(), "cache_duration");
  plan.is_async = remote.has_async_fetch();
  plan.holds_listener = plan.is_async && !remote.async_fetch().fast_listener();
  if (remote.async_fetch().has_failed_refetch_duration()) {
    plan.failed_refetch_duration =
        duration(remote.async_fetch().failed_refetch_duration(), "async_fetch.failed_refetch_duration");
  }
  if (remote.has_retry_policy())
    translate_retries(remote.retry_policy(), join_path(path, "retry_policy"), plan, context.diagnostics);
  plan.cell = context.cells.http.get(context.http_stat_prefix);
  return context.key_sets->slot(plan, context.workers);
}

/// Of one provider or of several: the issuers of a place that several name are put together.
class Locations {
 public:
  void add(const jwt::JwtProvider& provider) {
    using LocationKind = config::JwtLocation::Kind;
    for (const auto& header : provider.from_headers())
      add(LocationKind::kHeader, lower(header.name()), header.value_prefix(), provider.issuer());
    for (const std::string& name : provider.from_params()) add(LocationKind::kParameter, name, "", provider.issuer());
    for (const std::string& name : provider.from_cookies()) add(LocationKind::kCookie, name, "", provider.issuer());
    if (!provider.from_headers().empty() || !provider.from_params().empty() || !provider.from_cookies().empty()) return;
    add(LocationKind::kHeader, "authorization", "Bearer ", provider.issuer());
    add(LocationKind::kParameter, "access_token", "", provider.issuer());
  }

  /// Fields, then parameters, then cookies, each in the order of their names.
  [[nodiscard]] std::vector<config::JwtLocation> take() {
    std::vector<config::JwtLocation> out;
    for (auto& [key, place] : by_place_) {
      if (place.anybody) place.location.issuers.clear();
      out.push_back(std::move(place.location));
    }
    return out;
  }

 private:
  struct Place {
    config::JwtLocation location;
    bool anybody = false;  // an empty list of issuers means all
  };

  void add(config::JwtLocation::Kind kind, const std::string& name, const std::string& prefix, const std::string& issuer) {
    Place& place = by_place_[{kind, name, prefix}];
    place.location.kind = kind;
    place.location.name = name;
    place.location.prefix = prefix;
    place.location.issuers.push_back(issuer);
    place.anybody |= issuer.empty();
  }

  std::map<std::tuple<config::JwtLocation::Kind, std::string, std::string>, Place> by_place_;
};

void translate_cache(const jwt::JwtCacheConfig& cache, const std::string& path, config::JwtProvider& out,
                     TranslateContext& context) {
  const std::uint32_t entries = cache.jwt_cache_size() == 0 ? kDefaultCacheEntries : cache.jwt_cache_size();
  if (entries > limits::kJwtCacheEntries) {
    context.diagnostics.error(join_path(path, "jwt_cache_size"),
                              "must be at most " + std::to_string(limits::kJwtCacheEntries) + ", is " + std::to_string(entries));
    return;
  }
  for (std::size_t i = 0; i < context.workers; ++i) out.verified.push_back(std::make_shared<TextCache>(entries));
}

config::JwtProvider translate_provider(const std::string& name, const jwt::JwtProvider& provider, const std::string& path,
                                       TranslateContext& context) {
  config::JwtProvider out;
  out.name = name;
  out.issuer = provider.issuer();
  out.audiences = bare_audiences(provider.audiences());
  if (provider.has_subjects()) out.subject = translate_string_matcher(provider.subjects(), join_path(path, "subjects"), context);
  out.require_expiration = provider.require_expiration();
  if (provider.has_max_lifetime())
    out.max_lifetime = translate_duration(provider.max_lifetime(), join_path(path, "max_lifetime"), context.diagnostics);
  if (provider.clock_skew_seconds() > 0) out.clock_skew_seconds = provider.clock_skew_seconds();
  out.keys = translate_keys(provider, path, context.diagnostics);
  if (provider.has_remote_jwks())
    out.remote_keys = translate_remote(provider.remote_jwks(), join_path(path, "remote_jwks"), context);
  Locations locations;
  locations.add(provider);
  out.locations = locations.take();
  out.forward = provider.forward();
  out.payload_header = lower(provider.forward_payload_header());
  out.pad_payload = provider.pad_forward_payload_header();
  out.payload_key = provider.payload_in_metadata();
  out.header_key = provider.header_in_metadata();
  out.failed_key = provider.failed_status_in_metadata();
  const auto& claims = provider.normalize_payload_in_metadata().space_delimited_claims();
  out.space_delimited_claims.assign(claims.begin(), claims.end());
  for (const auto& claim : provider.claim_to_headers())
    out.claims_to_headers.push_back({lower(claim.header_name()), split(claim.claim_name(), '.')});
  out.clear_route_cache = provider.clear_route_cache();
  if (provider.has_jwt_cache_config())
    translate_cache(provider.jwt_cache_config(), join_path(path, "jwt_cache_config"), out, context);
  return out;
}

/// One run over the requirements of a filter.
class Requirements {
 public:
  Requirements(const std::vector<config::JwtProvider>& providers, Diagnostics& diagnostics)
      : providers_(providers), diagnostics_(diagnostics) {}

  [[nodiscard]] config::JwtRequirement translate(const jwt::JwtRequirement& requirement, const std::string& path) const {
    switch (requirement.requires_type_case()) {
      case jwt::JwtRequirement::kProviderName: return of_provider(requirement.provider_name(), join_path(path, "provider_name"));
      case jwt::JwtRequirement::kProviderAndAudiences: {
        const auto& named = requirement.provider_and_audiences();
        auto out = of_provider(named.provider_name(), join_path(join_path(path, "provider_and_audiences"), "provider_name"));
        if (!named.audiences().empty()) out.audiences = bare_audiences(named.audiences());
        return out;
      }
      case jwt::JwtRequirement::kRequiresAny: return translate_any(requirement.requires_any(), join_path(path, "requires_any"));
      case jwt::JwtRequirement::kRequiresAll: {
        config::JwtRequirement out{.kind = Kind::kAll};
        const std::string list = join_path(join_path(path, "requires_all"), "requirements");
        for (int i = 0; i < requirement.requires_all().requirements_size(); ++i) {
          out.others.push_back(
              translate(requirement.requires_all().requirements(i), index_path(list, static_cast<std::size_t>(i))));
        }
        return out;
      }
      case jwt::JwtRequirement::kAllowMissing: return {.kind = Kind::kAllowMissing};
      case jwt::JwtRequirement::kAllowMissingOrFailed: return {.kind = Kind::kAllowMissingOrFailed};
      default: return {};
    }
  }

 private:
  config::JwtRequirement of_provider(const std::string& name, const std::string& path) const {
    const auto at = std::ranges::find(providers_, name, &config::JwtProvider::name);
    if (at == providers_.end()) diagnostics_.error(path, "there is no provider \"" + name + "\"; define it in providers");
    return {.kind = Kind::kProvider, .provider = static_cast<std::uint32_t>(at - providers_.begin())};
  }

  // Beside others, what allows missing or failed tokens only says what becomes of the others' failures.
  config::JwtRequirement translate_any(const jwt::JwtRequirementOrList& any, const std::string& path) const {
    config::JwtRequirement out{.kind = Kind::kAny};
    for (int i = 0; i < any.requirements_size(); ++i) {
      auto other = translate(any.requirements(i), index_path(join_path(path, "requirements"), static_cast<std::size_t>(i)));
      out.allow_missing |= other.kind == Kind::kAllowMissing;
      out.allow_failed |= other.kind == Kind::kAllowMissingOrFailed;
      if (other.kind != Kind::kAllowMissing && other.kind != Kind::kAllowMissingOrFailed) out.others.push_back(std::move(other));
    }
    if (!out.others.empty()) return out;
    return {.kind = out.allow_failed ? Kind::kAllowMissingOrFailed : Kind::kAllowMissing};
  }

  const std::vector<config::JwtProvider>& providers_;
  Diagnostics& diagnostics_;
};

/// The keys of a map in an order that is always the same.
template <typename Value>
std::map<std::string, const Value*> sorted(const google::protobuf::Map<std::string, Value>& values) {
  std::map<std::string, const Value*> out;
  for (const auto& [name, value] : values) out.emplace(name, &value);
  return out;
}

config::JwtRequirement translate_rule(const jwt::RequirementRule& rule, const std::string& path, const Requirements& requirements,
                                      const config::JwtAuthn& filter, Diagnostics& diagnostics) {
  switch (rule.requirement_type_case()) {
    case jwt::RequirementRule::kRequires: return requirements.translate(rule.requires_(), join_path(path, "requires"));
    case jwt::RequirementRule::kRequirementName: {
      const auto at =
          std::ranges::find(filter.requirements, rule.requirement_name(), &std::pair<std::string, config::JwtRequirement>::first);
      if (at != filter.requirements.end()) return at->second;
      diagnostics.error(join_path(path, "requirement_name"),
                        "there is no requirement \"" + rule.requirement_name() + "\"; define it in requirement_map");
      return {};
    }
    default: return {};
  }
}

}  // namespace

config::JwtAuthn translate_filter(const jwt::JwtAuthentication& filter, const std::string& path, TranslateContext& context) {
  config::JwtAuthn out;
  Locations locations;
  for (const auto& [name, provider] : sorted(filter.providers())) {
    out.providers.push_back(translate_provider(name, *provider, key_path(join_path(path, "providers"), name), context));
    locations.add(*provider);
  }
  out.locations = locations.take();
  const Requirements requirements(out.providers, context.diagnostics);
  for (const auto& [name, requirement] : sorted(filter.requirement_map())) {
    out.requirements.emplace_back(name, requirements.translate(*requirement, key_path(join_path(path, "requirement_map"), name)));
  }
  for (int i = 0; i < filter.rules_size(); ++i) {
    const std::string rule_path = index_path(join_path(path, "rules"), static_cast<std::size_t>(i));
    out.rules.push_back({translate_route_match(filter.rules(i).match(), join_path(rule_path, "match"), context),
                         translate_rule(filter.rules(i), rule_path, requirements, out, context.diagnostics)});
  }
  out.bypass_cors_preflight = filter.bypass_cors_preflight();
  out.strip_failure_response = filter.strip_failure_response();
  return out;
}

config::JwtAuthnPerRoute translate_filter(const jwt::PerRouteConfig& route, const std::string&, TranslateContext&) {
  return {.disabled = route.disabled(), .requirement_name = route.requirement_name()};
}

}  // namespace millrace::agent
