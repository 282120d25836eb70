#include "control-agent/translate_rbac.h"

#include <map>
#include <utility>

#include "control-agent/translate_common.h"
#include "control-agent/translate_metadata.h"
#include "control-agent/translate_route_match.h"

namespace millrace::agent {

namespace rbac = envoy::config::rbac::v3;
using config::AccessCondition;

namespace {

constexpr int kMaxDepth = 32;

/// Turns trees of one kind of message, Permission or Principal, into conditions.
class Conditions {
 public:
  explicit Conditions(TranslateContext& context) : context_(context) {}

  AccessCondition of(const rbac::Permission& permission, const std::string& path) {
    using Rule = rbac::Permission;
    const Nesting nesting(depth_);
    if (too_deep(path)) return {};
    const auto at = [&](std::string_view field) { return join_path(path, field); };
    switch (permission.rule_case()) {
      case Rule::kAndRules: return {AccessCondition::All{all_of(permission.and_rules().rules(), at("and_rules.rules"))}};
      case Rule::kOrRules: return {AccessCondition::OneOf{all_of(permission.or_rules().rules(), at("or_rules.rules"))}};
      case Rule::kNotRule: return {AccessCondition::Not{{of(permission.not_rule(), at("not_rule"))}}};
      case Rule::kAny: return {AccessCondition::Any{}};
      case Rule::kHeader: return {translate_header_matcher(permission.header(), at("header"), context_)};
      case Rule::kUrlPath: return url_path(permission.url_path(), at("url_path"));
      case Rule::kDestinationIp: return address(Which::kLocal, permission.destination_ip(), at("destination_ip"));
      case Rule::kDestinationPort:
        return {AccessCondition::LocalPort{permission.destination_port(), permission.destination_port() + 1}};
      case Rule::kDestinationPortRange: return port_range(permission.destination_port_range(), at("destination_port_range"));
      case Rule::kMetadata: return {translate_metadata_matcher(permission.metadata(), at("metadata"), context_)};
      case Rule::kRequestedServerName:
        return {AccessCondition::ServerName{
            translate_string_matcher(permission.requested_server_name(), at("requested_server_name"), context_)}};
      case Rule::kUriTemplate:
        return {
            AccessCondition::UrlPath{{.kind = config::StringMatcher::Kind::kRegex,
                                      .text = {},
                                      .ignore_case = false,
                                      .regex = translate_uri_template(permission.uri_template(), at("uri_template"), context_)}}};
      default: context_.diagnostics.error(path, "must say what is permitted");
    }
    return {};
  }

  AccessCondition of(const rbac::Principal& principal, const std::string& path) {
    using Id = rbac::Principal;
    const Nesting nesting(depth_);
    if (too_deep(path)) return {};
    const auto at = [&](std::string_view field) { return join_path(path, field); };
    switch (principal.identifier_case()) {
      case Id::kAndIds: return {AccessCondition::All{all_of(principal.and_ids().ids(), at("and_ids.ids"))}};
      case Id::kOrIds: return {AccessCondition::OneOf{all_of(principal.or_ids().ids(), at("or_ids.ids"))}};
      case Id::kNotId: return {AccessCondition::Not{{of(principal.not_id(), at("not_id"))}}};
      case Id::kAny: return {AccessCondition::Any{}};
      case Id::kAuthenticated: return authenticated(principal.authenticated(), at("authenticated"));
      case Id::kSourceIp: return address(Which::kPeer, principal.source_ip(), at("source_ip"));
      case Id::kDirectRemoteIp: return address(Which::kDirectRemote, principal.direct_remote_ip(), at("direct_remote_ip"));
      case Id::kRemoteIp: return address(Which::kRemote, principal.remote_ip(), at("remote_ip"));
      case Id::kHeader: return {translate_header_matcher(principal.header(), at("header"), context_)};
      case Id::kUrlPath: return url_path(principal.url_path(), at("url_path"));
      case Id::kMetadata: return {translate_metadata_matcher(principal.metadata(), at("metadata"), context_)};
      default: context_.diagnostics.error(path, "must say who is meant");
    }
    return {};
  }

  template <typename Messages>
  std::vector<AccessCondition> all_of(const Messages& messages, const std::string& path) {
    std::vector<AccessCondition> out;
    for (int i = 0; i < messages.size(); ++i) out.push_back(of(messages[i], index_path(path, static_cast<std::size_t>(i))));
    return out;
  }

 private:
  using Which = AccessCondition::Address::Which;

  struct Nesting {
    explicit Nesting(int& of) : depth(++of) {}
    ~Nesting() { --depth; }
    int& depth;
  };

  bool too_deep(const std::string& path) {
    if (depth_ <= kMaxDepth) return false;
    context_.diagnostics.error(path, "is nested deeper than " + std::to_string(kMaxDepth) + " levels");
    return true;
  }

  AccessCondition url_path(const envoy::type::matcher::v3::PathMatcher& matcher, const std::string& path) {
    return {AccessCondition::UrlPath{translate_string_matcher(matcher.path(), join_path(path, "path"), context_)}};
  }

  AccessCondition address(Which which, const envoy::config::core::v3::CidrRange& range, const std::string& path) {
    return {AccessCondition::Address{which, translate_prefix(range, path, context_.diagnostics).value_or(IpPrefix{})}};
  }

  AccessCondition port_range(const envoy::type::v3::Int32Range& range, const std::string& path) {
    constexpr std::int32_t kPorts = 65'536;
    if (range.start() < 0 || range.start() >= range.end() || range.end() > kPorts) {
      context_.diagnostics.error(path, "must be ports from start up to but without end, start < end <= 65536");
      return {};
    }
    return {AccessCondition::LocalPort{static_cast<std::uint32_t>(range.start()), static_cast<std::uint32_t>(range.end())}};
  }

  AccessCondition authenticated(const rbac::Principal::Authenticated& principal, const std::string& path) {
    AccessCondition::Authenticated out;
    if (principal.has_principal_name())
      out.name = translate_string_matcher(principal.principal_name(), join_path(path, "principal_name"), context_);
    return {std::move(out)};
  }

  TranslateContext& context_;
  int depth_ = 0;
};

}  // namespace

config::AccessRules translate_access_rules(const rbac::RBAC& rules, const std::string& path, TranslateContext& context) {
  using Action = config::AccessRules::Action;
  config::AccessRules out;
  out.action = rules.action() == rbac::RBAC::DENY  ? Action::kDeny
               : rules.action() == rbac::RBAC::LOG ? Action::kLog
                                                   : Action::kAllow;
  const std::string map = join_path(path, "policies");
  Conditions conditions(context);
  const std::map<std::string, rbac::Policy> policies(rules.policies().begin(), rules.policies().end());
  for (const auto& [name, policy] : policies) {
    const std::string policy_path = key_path(map, name);
    config::AccessPolicy& target = out.policies.emplace_back();
    target.name = name;
    target.permission = {AccessCondition::OneOf{conditions.all_of(policy.permissions(), join_path(policy_path, "permissions"))}};
    target.principal = {AccessCondition::OneOf{conditions.all_of(policy.principals(), join_path(policy_path, "principals"))}};
  }
  return out;
}

config::Rbac translate_network_rbac(const envoy::extensions::filters::network::rbac::v3::RBAC& filter, const std::string& path,
                                    TranslateContext& context) {
  config::Rbac out;
  if (filter.has_rules()) out.rules = translate_access_rules(filter.rules(), join_path(path, "rules"), context);
  if (filter.has_shadow_rules())
    out.shadow_rules = translate_access_rules(filter.shadow_rules(), join_path(path, "shadow_rules"), context);
  out.shadow_stat_prefix = filter.shadow_rules_stat_prefix();
  const std::string& prefix = filter.stat_prefix();
  const std::string stem = prefix + (prefix.ends_with('.') ? "rbac." : ".rbac.");
  out.cell = context.cells.rbac.get(stem);
  out.shadow_cell = context.cells.rbac.get(stem + out.shadow_stat_prefix);
  return out;
}

}  // namespace millrace::agent
