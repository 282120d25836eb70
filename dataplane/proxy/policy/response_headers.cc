#include "dataplane/proxy/policy/response_headers.h"

#include <algorithm>
#include <array>

#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {

using http::HeaderId;

bool prepare_upstream_response(const config::HttpConnectionManager& manager, const MutationLevels& levels,
                               http::ResponseHead& head, const StreamInfo& info, Duration service_time,
                               const FormatEnvironment& environment) {
  if (!manager.suppress_envoy_headers) {
    const auto milliseconds = static_cast<std::uint64_t>(std::max<std::int64_t>(service_time.to_milliseconds(), 0));
    std::array<char, kMaxDecimalBytes> digits;
    if (!head.headers.set_copy(HeaderId::kXEnvoyUpstreamServiceTime, write_decimal(milliseconds, digits))) return false;
  }
  return set_response_attempt_count(levels, head, info) && apply_response_mutations(levels, head, info, environment);
}

bool set_response_attempt_count(const MutationLevels& levels, http::ResponseHead& head, const StreamInfo& info) {
  if (info.attempts == 0 || !levels.virtual_host->include_attempt_count_in_response) return true;
  std::array<char, kMaxDecimalBytes> digits;
  return head.headers.set_copy(HeaderId::kXEnvoyAttemptCount, write_decimal(info.attempts, digits));
}

bool prepare_response(const config::HttpConnectionManager& manager, const http::RequestHead* request, http::ResponseHead& head,
                      std::string_view date) {
  using ServerHeader = config::HttpConnectionManager::ServerHeader;
  http::HeaderMap& headers = head.headers;
  const std::string_view switched_to = head.status == 101 ? headers.value(HeaderId::kUpgrade) : std::string_view();
  if (!strip_hop_by_hop(headers)) return false;
  if (!switched_to.empty() &&
      !(headers.add_reference(HeaderId::kConnection, "upgrade") && headers.add_reference(HeaderId::kUpgrade, switched_to))) {
    return false;
  }
  const bool sets_server = manager.server_header == ServerHeader::kOverwrite ||
                           (manager.server_header == ServerHeader::kAppendIfAbsent && !headers.contains(HeaderId::kServer));
  if (sets_server && !headers.set_copy(HeaderId::kServer, manager.server_name)) return false;
  if (!headers.contains(HeaderId::kDate) && !headers.add_copy(HeaderId::kDate, date)) return false;
  if (!manager.via.empty() && !append_to_list(headers, HeaderId::kVia, manager.via, ", ")) return false;
  if (manager.always_set_request_id_in_response && request != nullptr) {
    const std::string_view id = request->headers.value(HeaderId::kXRequestId);
    if (!id.empty() && !headers.set_copy(HeaderId::kXRequestId, id)) return false;
  }
  return true;
}

}  // namespace millrace::proxy
