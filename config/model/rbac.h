// Who may do what: rules of role-based access control, for HTTP requests and for connections. Source: envoy.config.rbac.v3.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "config/model/matcher.h"
#include "config/model/metadata_matcher.h"
#include "dataplane/base/addresses.h"
#include "dataplane/report/cells.h"

namespace millrace::config {

/// A Permission or a Principal: a tree of conditions on a request or a connection.
struct AccessCondition {
  struct Any {};
  struct All {
    std::vector<AccessCondition> of;
  };
  struct OneOf {
    std::vector<AccessCondition> of;
  };
  struct Not {
    std::vector<AccessCondition> of;  ///< one
  };
  /// Without query and fragment.
  struct UrlPath {
    StringMatcher path;
  };
  struct Address {
    enum class Which : std::uint8_t {
      kLocal,         ///< destination_ip
      kRemote,        ///< remote_ip: the trusted client address, from x-forwarded-for where configured
      kPeer,          ///< source_ip: the connection's, from a PROXY header where there is one
      kDirectRemote,  ///< direct_remote_ip: whom the packets come from
    };
    Which which = Which::kLocal;
    IpPrefix prefix;
  };
  /// Of the connection's local address: [first, end).
  struct LocalPort {
    std::uint32_t first = 0;
    std::uint32_t end = 0;
  };
  /// What the client asked for in TLS (SNI); the empty text without it.
  struct ServerName {
    StringMatcher name;
  };
  /// The peer speaks TLS and, where a name is given, one of its certificate's URI names, DNS names, or its subject matches.
  struct Authenticated {
    std::optional<StringMatcher> name;
  };

  std::variant<Any, All, OneOf, Not, HeaderMatcher, UrlPath, Address, LocalPort, MetadataMatcher, ServerName, Authenticated> is;
};

struct AccessPolicy {
  std::string name;
  AccessCondition permission;
  AccessCondition principal;
};

struct AccessRules {
  enum class Action : std::uint8_t {
    kAllow,  ///< what a policy matches, and nothing else
    kDeny,   ///< what a policy matches is denied, all else allowed
    kLog,    ///< everything is allowed; envoy.common's access_log_hint says whether a policy matches
  };
  Action action = Action::kAllow;
  std::vector<AccessPolicy> policies;  ///< by name, in order; the first that matches counts
};

/// envoy.extensions.filters.http.rbac.v3.RBAC; envoy.extensions.filters.network.rbac.v3.RBAC but for its names.
struct Rbac {
  std::optional<AccessRules> rules;         ///< nothing: everything is allowed
  std::optional<AccessRules> shadow_rules;  ///< are only counted, and told in metadata
  std::string rules_stat_prefix;
  std::string shadow_stat_prefix;
  std::shared_ptr<report::RbacCell> cell;         ///< of `rules`
  std::shared_ptr<report::RbacCell> shadow_cell;  ///< of `shadow_rules`
};

/// envoy.extensions.filters.http.rbac.v3.RBACPerRoute: what holds instead; nothing: no rules.
struct RbacPerRoute {
  std::optional<Rbac> rbac;
};

}  // namespace millrace::config
