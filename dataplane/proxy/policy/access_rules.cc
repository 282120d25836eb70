#include "dataplane/proxy/policy/access_rules.h"

#include <algorithm>

#include "dataplane/proxy/policy/route_matcher.h"
#include "tls/handshake.h"

namespace millrace::proxy {
namespace {

using config::AccessCondition;

class Evaluation {
 public:
  explicit Evaluation(const AccessSubject& subject) : subject_(subject) {}

  bool operator()(const AccessCondition::Any&) const { return true; }
  bool operator()(const AccessCondition::All& all) const {
    return std::ranges::all_of(all.of, [this](const auto& part) { return holds(part, subject_); });
  }
  bool operator()(const AccessCondition::OneOf& one) const {
    return std::ranges::any_of(one.of, [this](const auto& part) { return holds(part, subject_); });
  }
  bool operator()(const AccessCondition::Not& negated) const { return !holds(negated.of.front(), subject_); }
  bool operator()(const config::HeaderMatcher& matcher) const {
    return subject_.head != nullptr && matches(matcher, *subject_.head, subject_.worker);
  }
  bool operator()(const AccessCondition::UrlPath& path) const {
    return subject_.head != nullptr && matches(path.path, without_query(subject_.head->path), subject_.worker);
  }
  bool operator()(const AccessCondition::Address& address) const {
    const SocketAddress& is = address_of(address.which);
    return !is.is_pipe() && address.prefix.contains(is.ip);
  }
  bool operator()(const AccessCondition::LocalPort& port) const {
    return subject_.info.downstream_local.port >= port.first && subject_.info.downstream_local.port < port.end;
  }
  bool operator()(const config::MetadataMatcher& matcher) const {
    return matches(matcher, subject_.info.metadata, subject_.worker);
  }
  bool operator()(const AccessCondition::ServerName& name) const {
    return matches(name.name, subject_.info.server_name, subject_.worker);
  }
  bool operator()(const AccessCondition::Authenticated& authenticated) const {
    const tls::SessionFacts* session = subject_.info.downstream_tls;
    if (session == nullptr) return false;
    if (!authenticated.name) return true;
    const tls::PeerCertificate* peer = session->peer.get();
    if (peer == nullptr) return matches(*authenticated.name, "", subject_.worker);
    const auto named = [&](const tls::SubjectName& name) {
      return (name.kind == tls::NameKind::kUri || name.kind == tls::NameKind::kDns) &&
             matches(*authenticated.name, name.value, subject_.worker);
    };
    return std::ranges::any_of(peer->names, named) || matches(*authenticated.name, peer->subject, subject_.worker);
  }

 private:
  [[nodiscard]] const SocketAddress& address_of(AccessCondition::Address::Which which) const {
    using Which = AccessCondition::Address::Which;
    switch (which) {
      case Which::kLocal: return subject_.info.downstream_local;
      case Which::kRemote: return subject_.info.downstream_remote;
      case Which::kPeer: return subject_.info.downstream_peer;
      case Which::kDirectRemote: break;
    }
    return subject_.info.downstream_direct_remote;
  }

  const AccessSubject& subject_;
};

constexpr bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

bool holds(const AccessCondition& condition, const AccessSubject& subject) {
  return std::visit(Evaluation(subject), condition.is);
}

AccessVerdict judge(const config::AccessRules& rules, const AccessSubject& subject) {
  using Action = config::AccessRules::Action;
  const auto at = std::ranges::find_if(rules.policies, [&](const config::AccessPolicy& policy) {
    return holds(policy.permission, subject) && holds(policy.principal, subject);
  });
  const bool matched = at != rules.policies.end();
  const bool allowed = rules.action == Action::kLog || matched == (rules.action == Action::kAllow);
  return {allowed, matched ? &*at : nullptr};
}

std::string_view access_denied_details(const AccessVerdict& verdict, Arena& arena) {
  constexpr std::string_view kDetails = "rbac_access_denied_matched_policy";
  if (verdict.policy == nullptr) return "rbac_access_denied_matched_policy[none]";
  const std::string& name = verdict.policy->name;
  const std::span<char> text = arena.make_array<char>(kDetails.size() + name.size() + 2);
  if (text.empty()) return kDetails;
  auto end = std::ranges::copy(kDetails, text.begin()).out;
  *end++ = '[';
  end = std::ranges::transform(name, end, [](char c) { return is_blank(c) ? '_' : c; }).out;
  *end = ']';
  return {text.data(), text.size()};
}

}  // namespace millrace::proxy
