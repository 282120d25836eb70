#include "dataplane/http/http1/head_writer.h"

#include "dataplane/http/http1/authority.h"
#include "dataplane/http/http1/characters.h"
#include "dataplane/http/http1/status_line.h"

namespace millrace::http::http1 {
namespace {

// Written by the codec itself, or never.
constexpr HeaderSet kOfTheCodec = {HeaderId::kConnection, HeaderId::kContentLength,   HeaderId::kHost,
                                   HeaderId::kKeepAlive,  HeaderId::kProxyConnection, HeaderId::kTransferEncoding,
                                   HeaderId::kUpgrade};

// The fields from `field` on that lie in memory as they are to be written, one behind the other: what was read and not touched.
std::string_view verbatim_run(const HeaderField*& field, const HeaderField* end) {
  constexpr std::size_t kLineEndBytes = 2;
  const char* const begin = field->name.data();
  const char* to = begin;
  for (; field != end && field->verbatim && field->name.data() == to && !kOfTheCodec.has(field->id); ++field) {
    to = field->value.data() + field->value.size() + kLineEndBytes;
  }
  return {begin, static_cast<std::size_t>(to - begin)};
}

std::string_view upgrade_of(const HeaderMap& headers) {
  const std::string_view value = headers.value(HeaderId::kUpgrade);
  return is_field_value(value) ? value : std::string_view();
}

// RFC 9110 7.6.1: one Connection field for all that concerns this connection. `persistence` is "close", "keep-alive" or nothing.
void put_connection(TextBuilder& text, std::string_view persistence, std::string_view upgrade, bool has_te) {
  if (!upgrade.empty()) text.put_field("upgrade", upgrade);
  if (persistence.empty() && upgrade.empty() && !has_te) return;
  text.put("connection: ");
  bool first = true;
  const auto put_option = [&](std::string_view option) {
    if (!first) text.put(", ");
    text.put(option);
    first = false;
  };
  if (!persistence.empty()) put_option(persistence);
  if (!upgrade.empty()) put_option("upgrade");
  if (has_te) put_option("te");
  text.put("\r\n");
}

void put_framing(TextBuilder& text, Framing framing) {
  if (framing.kind == BodyKind::kChunked) text.put("transfer-encoding: chunked\r\n");
  if (framing.kind == BodyKind::kLength) {
    text.put("content-length: ");
    text.put_number(framing.length);
    text.put("\r\n");
  }
}

void put_path(TextBuilder& text, std::string_view path) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  while (!path.empty()) {
    const auto* bad = std::find_if_not(path.begin(), path.end(), is_target_char);
    const auto good = static_cast<std::size_t>(bad - path.begin());
    text.put(path.substr(0, good));
    path.remove_prefix(good);
    if (path.empty()) return;
    const auto byte = static_cast<std::uint8_t>(path.front());
    const char encoded[] = {'%', kHex[byte >> 4], kHex[byte & 15]};
    text.put({encoded, sizeof(encoded)});
    path.remove_prefix(1);
  }
}

// A body-less message that is allowed a body says so (RFC 9110 8.6), or keeps the length its user states (HEAD, 304).
void put_empty_length(TextBuilder& text, std::optional<std::uint64_t> stated, bool say_zero) {
  if (!stated && !say_zero) return;
  text.put("content-length: ");
  text.put_number(stated.value_or(0));
  text.put("\r\n");
}

Framing frame(std::optional<std::uint64_t> length, bool end_stream, BodyKind otherwise) {
  if (length) return {*length == 0 ? BodyKind::kNone : BodyKind::kLength, *length};
  return {end_stream ? BodyKind::kNone : otherwise, 0};
}

std::optional<std::uint64_t> stated_length(const HeaderMap& headers, std::uint64_t& refused) {
  const HeaderField* field = headers.find(HeaderId::kContentLength);
  if (field == nullptr) return std::nullopt;
  const auto length = parse_content_length(field->value);
  if (!length) ++refused;
  return length;
}

}  // namespace

void put_fields(TextBuilder& text, const HeaderMap& headers, std::uint64_t& refused) {
  const HeaderField* const end = headers.fields().data() + headers.size();
  for (const HeaderField* field = headers.fields().data(); field != end;) {
    if (kOfTheCodec.has(field->id)) {
      ++field;
    } else if (field->verbatim) {
      text.put(verbatim_run(field, end));
    } else {
      const bool good = (field->id != HeaderId::kOther || is_token(field->name)) && is_field_value(field->value);
      if (good) text.put_field(field->name, field->value);
      refused += good ? 0 : 1;
      ++field;
    }
  }
}

std::optional<Framing> write_response_head(const ResponseHead& head, const ResponseContext& context, stream::Chain& out,
                                           std::uint64_t& refused) {
  MR_ASSERT(head.status >= 100 && head.status <= 999);
  const bool tunnel = context.request.is_connect && head.status >= 200 && head.status < 300;
  const bool opaque = tunnel || head.status == 101;
  const bool informational = head.status < 200;
  const bool bodyless = is_bodyless(head.status, context.request.is_head);

  TextBuilder text(out.pool());
  text.put("HTTP/1.1 ");
  text.put_number(head.status);
  text.put(" ");
  text.put(reason_phrase(head.status));
  text.put("\r\n");
  put_fields(text, head.headers, refused);

  Framing framing;
  if (opaque) {
    framing.kind = BodyKind::kOpaque;
  } else if (!informational && head.status != 204) {  // these two must not state a length (RFC 9110 8.6)
    const auto length = stated_length(head.headers, refused);
    if (!bodyless) {
      framing =
          frame(length, context.end_stream, context.client == Version::kHttp10 ? BodyKind::kUntilClose : BodyKind::kChunked);
      put_framing(text, framing);
    }
    if (framing.kind == BodyKind::kNone) put_empty_length(text, length, !bodyless);
  }
  if (head.status == 101) {
    put_connection(text, "", upgrade_of(head.headers), false);
  } else if (!informational && !tunnel) {
    const bool close = context.close || framing.kind == BodyKind::kUntilClose;
    put_connection(text,
                   close                                ? "close"
                   : context.client == Version::kHttp10 ? "keep-alive"
                                                        : "",
                   upgrade_of(head.headers), false);
  }
  text.put("\r\n");
  if (!text.finish(out)) return std::nullopt;
  return framing;
}

std::optional<Framing> write_request_head(const RequestHead& head, bool end_stream, stream::Chain& out, std::uint64_t& refused) {
  const bool connect = head.method == "CONNECT";
  if (!is_token(head.method)) return std::nullopt;
  if (connect ? !is_authority_with_port(head.authority) : !is_authority(head.authority)) return std::nullopt;

  TextBuilder text(out.pool());
  text.put(head.method);
  text.put(" ");
  if (connect) {
    text.put(head.authority);
  } else {
    if (!head.path.starts_with('/') && head.path != "*") text.put("/");
    put_path(text, head.path);
  }
  text.put(" HTTP/1.1\r\n");
  text.put_field("host", head.authority);
  put_fields(text, head.headers, refused);

  Framing framing;
  std::string_view upgrade;
  if (connect) {
    framing.kind = BodyKind::kOpaque;
  } else {
    const auto length = stated_length(head.headers, refused);
    if (!head.upgrade.empty() && is_field_value(head.upgrade)) upgrade = head.upgrade;
    framing = frame(length, end_stream, BodyKind::kChunked);
    const bool awaits_switch = !upgrade.empty() && !end_stream && framing.length == 0;
    if (awaits_switch) framing.kind = BodyKind::kOpaque;
    put_framing(text, framing);
    const bool expects_body = head.method == "POST" || head.method == "PUT" || head.method == "PATCH";
    if (framing.length == 0 && framing.kind != BodyKind::kChunked) put_empty_length(text, length, expects_body);
  }
  put_connection(text, has_connection_option(head.headers, "close") ? "close" : "", upgrade,
                 head.headers.contains(HeaderId::kTe));
  text.put("\r\n");
  if (!text.finish(out)) return std::nullopt;
  return framing;
}

}  // namespace millrace::http::http1
