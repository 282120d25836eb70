// envoy.filters.http.compressor: compresses responses for clients that accept it, and requests for upstreams. Several compressors
// of a stream choose one coding together.
#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>
#include <variant>

#include "dataplane/proxy/filters/brotli.h"
#include "dataplane/proxy/filters/gzip.h"
#include "dataplane/proxy/filters/registry.h"
#include "dataplane/proxy/filters/zstd.h"
#include "dataplane/proxy/policy/accept_encoding.h"
#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {
namespace {

constexpr std::size_t kCodings = std::variant_size_v<config::CompressionLibrary>;
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

bool mark_compressed(http::HeaderMap& headers, std::string_view coding) {
  headers.remove(http::HeaderId::kContentLength);
  return headers.set_copy(kContentEncoding, coding);
}

// RFC 9110 12.5.5: what a cache keeps is not for everybody.
bool add_vary(http::HeaderMap& headers) {
  const std::string_view vary = headers.joined_value(kVary);
  if (vary.empty()) return headers.set_copy(kVary, "Accept-Encoding");
  if (http::list_contains(vary, kAcceptEncoding)) return true;
  const std::string_view both = headers.arena().concat({vary, ", Accept-Encoding"});
  return both.data() != nullptr && headers.set_copy(kVary, both);
}

/// One body on its way through a library.
class CompressedBody final : public BodyFilter {
 public:
  CompressedBody(report::CompressionStats& stats, FilterContext& context) : stats_(stats), context_(context) {}

  /// `length`: of the body, in bytes, where it is known. False: no memory; the body goes on as it is.
  [[nodiscard]] bool start(const config::CompressionLibrary& library, std::optional<std::uint64_t> length) {
    return std::visit([&](const auto& settings) { return start_with(settings, length); }, library);
  }

  Outcome pass(Pass& pass, Instant) override {
    const std::size_t in = pass.in.size();
    const std::size_t out = pass.out.size();
    const CodingResult result =
        std::visit([&](auto& codec) { return codec.run(pass.in, pass.in_ended, pass.out, pass.room); }, *codec_);
    stats_.total_uncompressed_bytes.add(in - pass.in.size());
    stats_.total_compressed_bytes.add(pass.out.size() - out);
    pass.out_ended = result == CodingResult::kEnd;
    return result == CodingResult::kNoMemory ? Outcome::kNoMemory : Outcome::kPassed;
  }

 private:
  using Codec = std::variant<GzipCompressor, BrotliCompressor, ZstdCompressor>;

  bool start_with(const config::GzipCompression& settings, std::optional<std::uint64_t>) {
    return std::get<GzipCompressor>(codec_.emplace(std::in_place_type<GzipCompressor>, context_.arena)).start(settings);
  }
  bool start_with(const config::BrotliCompression& settings, std::optional<std::uint64_t> length) {
    return std::get<BrotliCompressor>(codec_.emplace(std::in_place_type<BrotliCompressor>, context_.codings))
        .start(settings, length);
  }
  bool start_with(const config::ZstdCompression& settings, std::optional<std::uint64_t> length) {
    return std::get<ZstdCompressor>(codec_.emplace(std::in_place_type<ZstdCompressor>, context_.codings)).start(settings, length);
  }

  report::CompressionStats& stats_;
  FilterContext& context_;
  std::optional<Codec> codec_;
};

class CompressorFilter final : public HttpFilter {
 public:
  CompressorFilter(const config::Compressor& config, const config::CompressorOverride* of_route, FilterContext& context)
      : config_(config), context_(context), coding_(config::content_coding(config.library)) {
    compresses_responses_ = config.response.enabled || (of_route != nullptr && of_route->compress_responses);
    removes_accept_encoding_ = of_route != nullptr && of_route->remove_accept_encoding ? *of_route->remove_accept_encoding
                                                                                       : config.remove_accept_encoding;
    if (!compresses_responses_) return;
    CompressorOffer** end = &context.compressors;
    while (*end != nullptr) end = &(*end)->next;
    *end = &offer_;
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
    const bool suits = compressible && !end_stream && is_chosen(headers);
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

  /// Whether the client wants this coding rather than those of the stream's other compressors.
  bool is_chosen(const http::HeaderMap& headers) const {
    std::array<OfferedCoding, kCodings> offered;
    const ChosenCoding chosen = choose_encoding(accepted_, std::span(offered).first(collect_offers(headers, offered)));
    const bool ours = chosen.coding == coding_;
    report::CompressorStats& all = stats();
    switch (chosen.choice) {
      case EncodingChoice::kCoding: (ours ? all.header_compressor_used : all.header_compressor_overshadowed).add(); break;
      case EncodingChoice::kWildcard: all.header_wildcard.add(); break;
      case EncodingChoice::kIdentity: all.header_identity.add(); break;
      case EncodingChoice::kNotValid: all.header_not_valid.add(); break;
      case EncodingChoice::kNoHeader: all.no_accept_header.add(); break;
    }
    return ours;
  }

  /// The codings of the compressors that take this type of content, each as the first filter with it says. Returns how many.
  std::size_t collect_offers(const http::HeaderMap& headers, std::span<OfferedCoding, kCodings> offered) const {
    std::size_t count = 0;
    for (const CompressorOffer* offer = context_.compressors; offer != nullptr; offer = offer->next) {
      if (!has_allowed_type(offer->config.response, headers)) continue;
      const OfferedCoding coding{.name = config::content_coding(offer->config.library),
                                 .choose_first = offer->config.choose_first};
      const auto is_same = [&](const OfferedCoding& other) { return other.name == coding.name; };
      if (std::ranges::none_of(offered.first(count), is_same)) offered[count++] = coding;
    }
    return count;
  }

  /// False: no memory for a field. Without memory for the library the body goes on as it is.
  bool begin(bool suits, http::HeaderMap& headers, report::CompressionStats& stats, std::optional<CompressedBody>& body) {
    if (suits) {
      body.emplace(stats, context_);
      if (!body->start(config_.library, content_length(headers))) body.reset();
    }
    (body ? stats.compressed : stats.not_compressed).add();
    return !body || mark_compressed(headers, coding_);
  }

  const config::Compressor& config_;
  FilterContext& context_;
  const std::string_view coding_;
  CompressorOffer offer_{config_};
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
