// envoy.filters.http.compressor: compresses responses for clients that accept it, and requests for upstreams, with gzip.
#include <algorithm>
#include <charconv>
#include <optional>

#include "dataplane/proxy/filters/gzip.h"
#include "dataplane/proxy/filters/registry.h"
#include "dataplane/proxy/policy/accept_encoding.h"
#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {
namespace {

constexpr std::string_view kCoding = "gzip";
constexpr std::string_view kAcceptEncoding = "accept-encoding";
constexpr std::string_view kContentEncoding = "content-encoding";
constexpr std::string_view kEtag = "etag";
constexpr std::string_view kVary = "vary";

bool has_allowed_type(const config::Compressor::Direction& direction, const http::HeaderMap& headers) {
  const http::HeaderField* type = headers.find("content-type");
  if (type == nullptr) return true;
  const std::string_view name = trim(type->value.substr(0, type->value.find(';')));
  return std::ranges::any_of(direction.content_types, [&](const auto& allowed) { return equal_ignoring_case(allowed, name); });
}

/// Of a message that says how long it is; nothing: it does not.
std::optional<std::uint64_t> content_length(const http::HeaderMap& headers) {
  const std::string_view text = headers.value(http::HeaderId::kContentLength);
  std::uint64_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  return text.empty() || error != std::errc() ? std::nullopt : std::optional(length);
}

bool mark_compressed(http::HeaderMap& headers) {
  headers.remove(http::HeaderId::kContentLength);
  return headers.set_copy(kContentEncoding, kCoding);
}

// RFC 9110 12.5.5: what a cache keeps is not for everybody.
bool add_vary(http::HeaderMap& headers) {
  const std::string_view vary = headers.joined_value(kVary);
  if (vary.empty()) return headers.set_copy(kVary, "Accept-Encoding");
  if (http::list_contains(vary, kAcceptEncoding)) return true;
  const std::string_view both = headers.arena().concat({vary, ", Accept-Encoding"});
  return both.data() != nullptr && headers.set_copy(kVary, both);
}

/// One body on its way through zlib.
class CompressedBody final : public BodyFilter {
 public:
  CompressedBody(report::CompressionStats& stats, Arena& arena) : stats_(stats), compressor_(arena) {}

  /// False: no memory; the body goes on as it is.
  [[nodiscard]] bool start(const config::GzipCompression& settings) { return compressor_.start(settings); }

  Outcome pass(Pass& pass, Instant) override {
    const std::size_t in = pass.in.size();
    const std::size_t out = pass.out.size();
    const GzipResult result = compressor_.run(pass.in, pass.in_ended, pass.out, pass.room);
    stats_.total_uncompressed_bytes.add(in - pass.in.size());
    stats_.total_compressed_bytes.add(pass.out.size() - out);
    pass.out_ended = result == GzipResult::kEnd;
    return result == GzipResult::kNoMemory ? Outcome::kNoMemory : Outcome::kPassed;
  }

 private:
  report::CompressionStats& stats_;
  GzipCompressor compressor_;
};

class CompressorFilter final : public HttpFilter {
 public:
  CompressorFilter(const config::Compressor& config, const config::CompressorOverride* of_route, FilterContext& context)
      : config_(config), context_(context) {
    compresses_responses_ = config.response.enabled || (of_route != nullptr && of_route->compress_responses);
    removes_accept_encoding_ = of_route != nullptr && of_route->remove_accept_encoding ? *of_route->remove_accept_encoding
                                                                                       : config.remove_accept_encoding;
  }

  Verdict on_request(http::RequestHead& head, bool end_stream, Instant) override {
    if (compresses_responses_) {
      accepted_ = head.headers.joined_value(kAcceptEncoding);
      if (removes_accept_encoding_) head.headers.remove(kAcceptEncoding);
    }
    if (!config_.request.enabled) return Verdict::kContinue;
    const bool suits = !end_stream && head.upgrade.empty() &&
                       is_long_enough(config_.request, head.headers, true, stats().request) &&
                       has_allowed_type(config_.request, head.headers) && head.headers.find(kContentEncoding) == nullptr;
    return begin(suits, head.headers, stats().request, request_) ? Verdict::kContinue : Verdict::kNoMemory;
  }
  BodyFilter* request_body() override { return request_ ? &*request_ : nullptr; }

  bool on_response(http::ResponseHead& head, bool end_stream, Instant) override {
    if (!compresses_responses_) return true;
    http::HeaderMap& headers = head.headers;
    report::CompressorStats& all = stats();
    const bool compressible = head.status >= 200 && is_long_enough(config_.response, headers, false, all.response) &&
                              has_allowed_type(config_.response, headers) && headers.find(kContentEncoding) == nullptr &&
                              !http::list_contains(headers.value("cache-control"), "no-transform") && is_etag_allowed(headers);
    const bool suits = compressible && !end_stream && is_accepted();
    if (suits && !headers.value(kEtag).starts_with("W/") && !headers.value(kEtag).starts_with("w/")) headers.remove(kEtag);
    return begin(suits, headers, all.response, response_) && (!compressible || add_vary(headers));
  }
  BodyFilter* response_body() override { return response_ ? &*response_ : nullptr; }

 private:
  report::CompressorStats& stats() const { return config_.cell->per_worker[context_.worker]; }

  /// `must_say`: one that does not say its length does not suit.
  bool is_long_enough(const config::Compressor::Direction& direction, const http::HeaderMap& headers, bool must_say,
                      report::CompressionStats& stats) const {
    const std::optional<std::uint64_t> length = content_length(headers);
    if (!length) return !must_say;
    if (*length >= direction.min_content_length) return true;
    stats.content_length_too_small.add();
    return false;
  }

  bool is_etag_allowed(const http::HeaderMap& headers) const {
    if (!config_.disable_on_etag || headers.find(kEtag) == nullptr) return true;
    stats().not_compressed_etag.add();
    return false;
  }

  bool is_accepted() const {
    report::CompressorStats& all = stats();
    switch (choose_encoding(accepted_, kCoding)) {
      case EncodingChoice::kCoding: all.header_compressor_used.add(); return true;
      case EncodingChoice::kWildcard: all.header_wildcard.add(); return true;
      case EncodingChoice::kIdentity: all.header_identity.add(); return false;
      case EncodingChoice::kNotValid: all.header_not_valid.add(); return false;
      case EncodingChoice::kNoHeader: all.no_accept_header.add(); return false;
    }
    return false;
  }

  /// False: no memory for a field. Without memory for zlib the body goes on as it is.
  bool begin(bool suits, http::HeaderMap& headers, report::CompressionStats& stats, std::optional<CompressedBody>& body) {
    if (suits) {
      body.emplace(stats, context_.arena);
      if (!body->start(config_.gzip)) body.reset();
    }
    (body ? stats.compressed : stats.not_compressed).add();
    return !body || mark_compressed(headers);
  }

  const config::Compressor& config_;
  FilterContext& context_;
  std::string_view accepted_;  // Accept-Encoding; null data(): there is none
  bool compresses_responses_ = false;
  bool removes_accept_encoding_ = false;
  std::optional<CompressedBody> request_;
  std::optional<CompressedBody> response_;
};

}  // namespace

MadeFilter make_filter(const config::Compressor& config, const FilterSite& site) {
  const auto* of_route = site.route_config<config::CompressorOverride>();
  if (of_route != nullptr && of_route->disabled) return MadeFilter::none();
  return MadeFilter::of(make_in_arena<CompressorFilter>(site.context.arena, config, of_route, site.context));
}

}  // namespace millrace::proxy
