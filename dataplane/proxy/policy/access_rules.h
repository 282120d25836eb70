// What rules of access control say of a request or of a connection.
#pragma once

#include <cstdint>
#include <string_view>

#include "config/model/rbac.h"
#include "dataplane/base/arena.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/stream_info.h"

namespace millrace::proxy {

/// Who asks for what.
struct AccessSubject {
  const StreamInfo& info;         ///< addresses, TLS session, server name, metadata
  const http::RequestHead* head;  ///< null: a connection; conditions on fields and paths do not hold, a Not around them does
  std::uint32_t worker;           ///< which program of a regex is ours
};

[[nodiscard]] bool holds(const config::AccessCondition& condition, const AccessSubject& subject);

struct AccessVerdict {
  bool allowed = true;
  const config::AccessPolicy* policy = nullptr;  ///< that matches; null: none does
};
[[nodiscard]] AccessVerdict judge(const config::AccessRules& rules, const AccessSubject& subject);

/// "rbac_access_denied_matched_policy[name]" with what is blank in the name as "_", or "[none]". In the arena; the part before
/// the bracket when that is exhausted.
[[nodiscard]] std::string_view access_denied_details(const AccessVerdict& verdict, Arena& arena);

}  // namespace millrace::proxy
