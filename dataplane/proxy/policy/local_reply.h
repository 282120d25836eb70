// Answers that the gateway gives by itself: status, body and details as Envoy words them. Rows: local_reply.def.
// Deliberately not here: why an upstream request failed (dataplane/proxy/upstream_failure.def).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "config/model/route.h"
#include "dataplane/base/arena.h"
#include "dataplane/http/codec.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/stream_info.h"

namespace millrace::proxy {

enum class LocalReplyReason : std::uint8_t {
#define MR_LOCAL_REPLY(name, status, body, details, flag) name,
#include "dataplane/proxy/policy/local_reply.def"
#undef MR_LOCAL_REPLY
};

struct LocalReply {
  /// A field beside those that status and body bring along; its texts outlive the answer.
  struct Field {
    std::string_view name;  ///< lower case
    std::string_view value;
  };

  std::uint16_t status = 0;
  std::string_view body = {};      ///< text/plain; empty: none
  std::string_view details = {};   ///< %RESPONSE_CODE_DETAILS%
  std::string_view location = {};  ///< empty: none
  std::optional<ResponseFlag> flag = {};
  std::optional<std::uint32_t> grpc_status = {};  ///< what gRPC clients are told; nothing: what the status comes to
  std::span<const Field> fields = {};
};

[[nodiscard]] LocalReply reply_of(LocalReplyReason reason);
/// The answer to a client that broke the protocol; status 0: close without an answer.
[[nodiscard]] LocalReply reply_of(http::ProtocolError error);
[[nodiscard]] LocalReply reply_of(const config::DirectResponse& action);
/// The answer to a route that redirects; kOverloaded's when the arena is exhausted.
[[nodiscard]] LocalReply redirect_reply(const config::Route& route, const http::RequestHead& head, std::uint32_t worker,
                                        Arena& arena);

/// "upstream connect error or disconnect/reset before headers. " [+ "retried and the latest "] + "reset reason: " + `reason`
/// [+ ", transport failure reason: " + `transport_failure`]; only the constant part when the arena is exhausted.
[[nodiscard]] std::string_view upstream_reset_body(std::string_view reason, std::string_view transport_failure, bool retried,
                                                   Arena& arena);

/// Writes the head of a local answer: status, fields, location, and, when there is a body, content-type and content-length.
/// False: out of memory.
[[nodiscard]] bool write_local_reply(const LocalReply& reply, http::ResponseHead& head);
/// The same for a gRPC client, which takes every answer for a 200 and looks for grpc-status and grpc-message: the body goes into
/// the latter, percent-encoded, and there is no other.
[[nodiscard]] bool write_grpc_reply(const LocalReply& reply, http::ResponseHead& head);

/// HTTP's status for one of gRPC's, and the other way round. Source: gRPC's http-grpc-status-mapping, google.rpc.Code.
[[nodiscard]] std::uint16_t http_status_of_grpc(std::uint32_t grpc_status);
[[nodiscard]] std::uint32_t grpc_status_of_http(std::uint16_t status);

/// "NR", "UF", ... of one flag, and its long name.
[[nodiscard]] std::string_view short_name(ResponseFlag flag);
[[nodiscard]] std::string_view long_name(ResponseFlag flag);
/// "UF,URX" of all that are set, "-" when none is; truncated to `out`. Returns the length.
std::size_t format_flags(const ResponseFlags& flags, bool long_names, std::span<char> out);

}  // namespace millrace::proxy
