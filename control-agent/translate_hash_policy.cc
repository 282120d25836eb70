#include "control-agent/translate_hash_policy.h"

#include <memory>
#include <utility>

#include "config/compile/regex_compiler.h"
#include "config/model/route.h"
#include "control-agent/translate_common.h"

namespace millrace::agent {

using envoy::config::route::v3::RouteAction;

namespace {

void translate_header(const RouteAction::HashPolicy::Header& header, const std::string& path, config::HashPolicy& out,
                      TranslateContext& context) {
  out.source = config::HashPolicy::Source::kHeader;
  out.name = lower(header.header_name());
  if (!header.has_regex_rewrite()) return;
  const auto& rewrite = header.regex_rewrite();
  auto compiled = config::compile_rewrite(rewrite.pattern().regex(), rewrite.substitution(), context.workers);
  if (compiled) {
    out.rewrite = std::make_shared<const config::RegexRewrite>(std::move(*compiled));
  } else {
    context.diagnostics.error(join_path(path, "regex_rewrite"), std::move(compiled.error()));
  }
}

// In the order in which Envoy writes them.
std::string cookie_attributes(const RouteAction::HashPolicy::Cookie& cookie) {
  std::string out;
  if (cookie.ttl().seconds() != 0) out += "; Max-Age=" + std::to_string(cookie.ttl().seconds());
  if (!cookie.path().empty()) out += "; Path=" + cookie.path();
  for (const auto& attribute : cookie.attributes()) {
    out += "; " + attribute.name();
    if (!attribute.value().empty()) out += "=" + attribute.value();
  }
  return out + "; HttpOnly";
}

}  // namespace

config::HashPolicies translate_hash_policies(const RouteAction& action, const std::string& path, TranslateContext& context) {
  using Source = config::HashPolicy::Source;
  config::HashPolicies out;
  for (int i = 0; i < action.hash_policy_size(); ++i) {
    const auto& policy = action.hash_policy(i);
    const std::string at = index_path(join_path(path, "hash_policy"), static_cast<std::size_t>(i));
    config::HashPolicy next;
    next.terminal = policy.terminal();
    switch (policy.policy_specifier_case()) {
      case RouteAction::HashPolicy::kHeader: translate_header(policy.header(), join_path(at, "header"), next, context); break;
      case RouteAction::HashPolicy::kCookie:
        next.source = Source::kCookie;
        next.name = policy.cookie().name();
        if (policy.cookie().has_ttl()) next.cookie_attributes = cookie_attributes(policy.cookie());
        break;
      case RouteAction::HashPolicy::kConnectionProperties:
        if (!policy.connection_properties().source_ip()) continue;
        next.source = Source::kSourceIp;
        break;
      case RouteAction::HashPolicy::kQueryParameter:
        next.source = Source::kQueryParameter;
        next.name = policy.query_parameter().name();
        break;
      default: continue;  // refused before
    }
    out.push_back(std::move(next));
  }
  return out;
}

}  // namespace millrace::agent
