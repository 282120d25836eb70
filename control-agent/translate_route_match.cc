#include "control-agent/translate_route_match.h"

#include <utility>

#include "config/compile/regex_compiler.h"
#include "config/compile/uri_template.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_metadata.h"
#include "envoy/extensions/path/match/uri_template/v3/uri_template_match.pb.h"
#include "envoy/extensions/path/rewrite/uri_template/v3/uri_template_rewrite.pb.h"

namespace millrace::agent {

namespace route = envoy::config::route::v3;
using envoy::extensions::path::match::uri_template::v3::UriTemplateMatchConfig;
using envoy::extensions::path::rewrite::uri_template::v3::UriTemplateRewriteConfig;

// Other extensions are refused by the field table.
config::Regex translate_uri_template(const envoy::config::core::v3::TypedExtensionConfig& extension, const std::string& path,
                                     TranslateContext& context) {
  const auto config = unpack<UriTemplateMatchConfig>(extension.typed_config());
  if (!config) {
    context.diagnostics.error(join_path(path, "typed_config"), "must be a UriTemplateMatchConfig of envoy.extensions.path.match");
    return {};
  }
  const std::string at = join_path(path, "typed_config.path_template");
  auto compiled = config::compile_uri_template(config->path_template());
  if (!compiled) {
    context.diagnostics.error(at, "\"" + config->path_template() + "\" is no path template: " + compiled.error());
    return {};
  }
  auto regex = config::compile_regex(compiled->pattern, context.workers);
  if (regex) return std::move(*regex);
  context.diagnostics.error(at, std::move(regex.error()));
  return {};
}

namespace {

config::PathMatcher translate_path(const route::RouteMatch& match, const std::string& path, TranslateContext& context) {
  using Kind = config::PathMatcher::Kind;
  config::PathMatcher out;
  out.case_sensitive = !match.has_case_sensitive() || match.case_sensitive().value();
  switch (match.path_specifier_case()) {
    case route::RouteMatch::kPrefix:
      out.kind = Kind::kPrefix;
      out.text = match.prefix();
      break;
    case route::RouteMatch::kPath:
      out.kind = Kind::kExact;
      out.text = match.path();
      break;
    case route::RouteMatch::kPathSeparatedPrefix:
      out.kind = Kind::kPathSeparatedPrefix;
      out.text = match.path_separated_prefix();
      break;
    case route::RouteMatch::kSafeRegex:
      out.kind = Kind::kRegex;
      out.regex = translate_regex(match.safe_regex(), join_path(path, "safe_regex"), context);
      break;
    case route::RouteMatch::kPathMatchPolicy:
      out.kind = Kind::kRegex;
      out.regex = translate_uri_template(match.path_match_policy(), join_path(path, "path_match_policy"), context);
      break;
    case route::RouteMatch::kConnectMatcher: out.kind = Kind::kConnect; break;
    default:
      context.diagnostics.error(
          path, "one of prefix, path, path_separated_prefix, safe_regex, path_match_policy, connect_matcher must be set");
  }
  if (out.kind == Kind::kRegex && !out.case_sensitive) {
    context.diagnostics.harmless(join_path(path, "case_sensitive"),
                                 "regular expressions and templates heed it not: start an expression with (?i) instead");
  }
  return out;
}

}  // namespace

std::optional<config::RegexRewrite> translate_rewrite(const envoy::type::matcher::v3::RegexMatchAndSubstitute& rewrite,
                                                      const std::string& path, TranslateContext& context) {
  auto compiled = config::compile_rewrite(rewrite.pattern().regex(), rewrite.substitution(), context.workers);
  if (compiled) return std::move(*compiled);
  context.diagnostics.error(path, std::move(compiled.error()));
  return std::nullopt;
}

std::optional<config::RegexRewrite> translate_path_rewrite_policy(const envoy::config::core::v3::TypedExtensionConfig& policy,
                                                                  const route::RouteMatch& match, const std::string& path,
                                                                  TranslateContext& context) {
  const auto rewrite = unpack<UriTemplateRewriteConfig>(policy.typed_config());
  const auto matched = unpack<UriTemplateMatchConfig>(match.path_match_policy().typed_config());
  if (!rewrite || !matched) {
    context.diagnostics.error(path,
                              "must be a UriTemplateRewriteConfig, in a route whose path_match_policy is a "
                              "UriTemplateMatchConfig: it puts the variables of the one into a new path");
    return std::nullopt;
  }
  const auto from = config::compile_uri_template(matched->path_template());
  if (!from) return std::nullopt;  // the match has said so
  const std::string at = join_path(path, "typed_config.path_template_rewrite");
  const auto substitution = config::compile_uri_rewrite(rewrite->path_template_rewrite(), *from);
  if (!substitution) {
    context.diagnostics.error(at, "\"" + rewrite->path_template_rewrite() + "\" is no path template: " + substitution.error());
    return std::nullopt;
  }
  auto compiled = config::compile_rewrite("^" + from->pattern + "$", *substitution, context.workers);
  if (compiled) return std::move(*compiled);
  context.diagnostics.error(at, std::move(compiled.error()));
  return std::nullopt;
}

config::RouteMatch translate_route_match(const route::RouteMatch& match, const std::string& path, TranslateContext& context) {
  config::RouteMatch out;
  out.path = translate_path(match, path, context);
  out.headers = translate_header_matchers(match.headers(), join_path(path, "headers"), context);
  for (int i = 0; i < match.query_parameters_size(); ++i) {
    out.query_parameters.push_back(translate_query_matcher(
        match.query_parameters(i), index_path(join_path(path, "query_parameters"), static_cast<std::size_t>(i)), context));
  }
  if (match.has_runtime_fraction()) out.runtime_fraction = translate_fraction(match.runtime_fraction(), context);
  out.grpc = match.has_grpc();
  if (match.tls_context().has_presented()) out.certificate_presented = match.tls_context().presented().value();
  if (match.tls_context().has_validated()) out.certificate_validated = match.tls_context().validated().value();
  const std::string metadata = join_path(path, "dynamic_metadata");
  for (int i = 0; i < match.dynamic_metadata_size(); ++i) {
    out.metadata.push_back(
        translate_metadata_matcher(match.dynamic_metadata(i), index_path(metadata, static_cast<std::size_t>(i)), context));
  }
  return out;
}

}  // namespace millrace::agent
