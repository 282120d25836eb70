#include "dataplane/proxy/policy/local_reply.h"

#include <array>

#include "dataplane/base/assert.h"
#include "dataplane/proxy/policy/field_tools.h"
#include "dataplane/proxy/policy/path.h"
#include "dataplane/proxy/policy/text_writer.h"

namespace millrace::proxy {
namespace {

constexpr std::array kReplies = {
#define MR_LOCAL_REPLY(name, code, text, detail, response_flag) \
  LocalReply{.status = code, .body = text, .details = detail, .flag = response_flag},
#include "dataplane/proxy/policy/local_reply.def"
#undef MR_LOCAL_REPLY
};

struct FlagNames {
  std::string_view short_name;
  std::string_view long_name;
};
constexpr std::array kFlags = {
#define MR_RESPONSE_FLAG(name, short_name, long_name) FlagNames{short_name, long_name},
#include "dataplane/proxy/response_flag.def"
#undef MR_RESPONSE_FLAG
};

constexpr std::array<std::string_view, 1 + 0
#define MR_PROTOCOL_ERROR(name, status, counter, text) +1
#include "dataplane/http/protocol_error.def"
#undef MR_PROTOCOL_ERROR
                     >
    kProtocolDetails = {
        "",
#define MR_PROTOCOL_ERROR(name, status, counter, text) "http1." counter,
#include "dataplane/http/protocol_error.def"
#undef MR_PROTOCOL_ERROR
};

// Envoy answers with the reason phrase as the body.
std::string_view protocol_error_body(std::uint16_t status) {
  switch (status) {
    case 400: return "Bad Request";
    case 414: return "URI Too Long";
    case 426: return "Upgrade Required";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 505: return "HTTP Version Not Supported";
    default: return "";
  }
}

bool add_fields(const LocalReply& reply, http::ResponseHead& head) {
  for (const LocalReply::Field& field : reply.fields) {
    if (!head.headers.add_copy(field.name, field.value)) return false;
  }
  return true;
}

// As gRPC writes messages in fields: what is not printable, and "%", percent-encoded. Null data(): no memory.
std::string_view grpc_message(std::string_view text, Arena& arena) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  const std::span<char> out = arena.make_array<char>(3 * text.size());
  if (out.empty()) return {};
  std::size_t size = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte <= 0x7e && c != '%') {
      out[size++] = c;
    } else {
      out[size++] = '%';
      out[size++] = kHex[byte >> 4];
      out[size++] = kHex[byte & 15];
    }
  }
  return {out.data(), size};
}

}  // namespace

LocalReply reply_of(LocalReplyReason reason) { return kReplies[static_cast<std::size_t>(reason)]; }

LocalReply reply_of(http::ProtocolError error) {
  const std::uint16_t status = http::status_of(error);
  return {.status = status,
          .body = protocol_error_body(status),
          .details = kProtocolDetails[static_cast<std::size_t>(error)],
          .flag = ResponseFlag::kDownstreamProtocolError};
}

LocalReply reply_of(const config::DirectResponse& action) {
  return {.status = action.status, .body = action.body, .details = "direct_response"};
}

LocalReply redirect_reply(const config::Route& route, const http::RequestHead& head, std::uint32_t worker, Arena& arena) {
  const auto* action = std::get_if<config::RedirectAction>(&route.action);
  MR_ASSERT(action != nullptr);
  const std::string_view location = redirect_location(route.match.path, *action, head, worker, arena);
  if (location.data() == nullptr) return reply_of(LocalReplyReason::kOverloaded);
  return {.status = action->status, .body = {}, .details = "direct_response", .location = location};
}

std::string_view upstream_reset_body(std::string_view reason, std::string_view transport_failure, bool retried, Arena& arena) {
  constexpr std::string_view kStart = "upstream connect error or disconnect/reset before headers";
  const std::string_view which = retried ? ". retried and the latest reset reason: " : ". reset reason: ";
  const std::string_view text = transport_failure.empty()
                                    ? arena.concat({kStart, which, reason})
                                    : arena.concat({kStart, which, reason, ", transport failure reason: ", transport_failure});
  return text.data() == nullptr ? kStart : text;
}

bool write_local_reply(const LocalReply& reply, http::ResponseHead& head) {
  head.status = reply.status;
  if (!add_fields(reply, head)) return false;
  if (!reply.location.empty() && !head.headers.set_copy(http::HeaderId::kLocation, reply.location)) return false;
  if (reply.body.empty()) return true;
  std::array<char, kMaxDecimalBytes> digits;
  return head.headers.set_copy(http::HeaderId::kContentLength, write_decimal(reply.body.size(), digits)) &&
         head.headers.set_copy(http::HeaderId::kContentType, "text/plain");
}

bool write_grpc_reply(const LocalReply& reply, http::ResponseHead& head) {
  head.status = 200;
  std::array<char, kMaxDecimalBytes> digits;
  const std::uint32_t status = reply.grpc_status.value_or(grpc_status_of_http(reply.status));
  if (!add_fields(reply, head) || !head.headers.set_copy(http::HeaderId::kContentType, "application/grpc") ||
      !head.headers.set_copy("grpc-status", write_decimal(status, digits))) {
    return false;
  }
  if (reply.body.empty()) return true;
  const std::string_view message = grpc_message(reply.body, head.headers.arena());
  return message.data() != nullptr && head.headers.add_reference(http::HeaderId::kOther, "grpc-message", message);
}

std::uint16_t http_status_of_grpc(std::uint32_t grpc_status) {
  static constexpr std::array<std::uint16_t, 17> kStatus = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                                                            400, 409, 400, 501, 500, 503, 500, 401};
  return grpc_status < kStatus.size() ? kStatus[grpc_status] : std::uint16_t{500};
}

std::uint32_t grpc_status_of_http(std::uint16_t status) {
  switch (status) {
    case 200: return 0;
    case 400: return 13;  // INTERNAL
    case 401: return 16;  // UNAUTHENTICATED
    case 403: return 7;   // PERMISSION_DENIED
    case 404: return 12;  // UNIMPLEMENTED
    case 429:
    case 502:
    case 503:
    case 504: return 14;  // UNAVAILABLE
    default: return 2;    // UNKNOWN
  }
}

std::string_view short_name(ResponseFlag flag) { return kFlags[static_cast<std::size_t>(flag)].short_name; }
std::string_view long_name(ResponseFlag flag) { return kFlags[static_cast<std::size_t>(flag)].long_name; }

std::size_t format_flags(const ResponseFlags& flags, bool long_names, std::span<char> out) {
  TextWriter writer(out);
  for (std::size_t i = 0; i < kFlags.size(); ++i) {
    if (!flags.has(static_cast<ResponseFlag>(i))) continue;
    if (writer.size() > 0) writer.put(",");
    writer.put(long_names ? kFlags[i].long_name : kFlags[i].short_name);
  }
  if (!flags.any()) writer.put("-");
  return writer.size();
}

}  // namespace millrace::proxy
