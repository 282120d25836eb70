// envoy.filters.http.decompressor: takes a content coding off requests and responses, at most so many bytes out for each byte in.
#include <algorithm>
#include <optional>
#include <variant>

#include "dataplane/proxy/filters/brotli.h"
#include "dataplane/proxy/filters/gzip.h"
#include "dataplane/proxy/filters/registry.h"
#include "dataplane/proxy/filters/zstd.h"
#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {
namespace {

constexpr std::string_view kAcceptEncoding = "accept-encoding";
constexpr std::string_view kContentEncoding = "content-encoding";

/// The coding that was applied last, and what was before it: RFC 9110 8.4.
struct Codings {
  std::string_view last;
  std::string_view rest;  ///< empty: none
};

Codings split_codings(std::string_view list) {
  const std::size_t comma = list.rfind(',');
  if (comma == std::string_view::npos) return {.last = trim(list), .rest = {}};
  return {.last = trim(list.substr(comma + 1)), .rest = trim(list.substr(0, comma))};
}

class DecompressedBody final : public BodyFilter {
 public:
  DecompressedBody(report::DecompressionStats& stats, FilterContext& context, bool trusted)
      : stats_(stats), context_(context), trusted_(trusted) {}

  /// `library` outlives it. False: no memory.
  [[nodiscard]] bool start(const config::DecompressionLibrary& library) {
    return std::visit([&](const auto& settings) { return start_with(settings); }, library);
  }

  Outcome pass(Pass& pass, Instant) override {
    const std::size_t in = pass.in.size();
    const std::size_t out = pass.out.size();
    const CodingResult result =
        std::visit([&](auto& codec) { return codec.run(pass.in, pass.in_ended, pass.out, pass.room); }, *codec_);
    stats_.total_compressed_bytes.add(in - pass.in.size());
    stats_.total_uncompressed_bytes.add(pass.out.size() - out);
    pass.out_ended = result == CodingResult::kEnd;
    if (result == CodingResult::kBadData) return Outcome::kBadData;
    return result == CodingResult::kNoMemory ? Outcome::kNoMemory : Outcome::kPassed;
  }

 private:
  using Codec = std::variant<GzipDecompressor, BrotliDecompressor, ZstdDecompressor>;

  bool start_with(const config::GzipDecompression& settings) {
    return std::get<GzipDecompressor>(codec_.emplace(std::in_place_type<GzipDecompressor>, settings, context_.arena)).start();
  }
  bool start_with(const config::BrotliDecompression& settings) {
    const int window_bits = trusted_ ? BrotliDecompressor::kTrustedWindowBits : BrotliDecompressor::kUntrustedWindowBits;
    return std::get<BrotliDecompressor>(codec_.emplace(std::in_place_type<BrotliDecompressor>, context_.codings, window_bits))
        .start(settings);
  }
  bool start_with(const config::ZstdDecompression& settings) {
    return std::get<ZstdDecompressor>(codec_.emplace(std::in_place_type<ZstdDecompressor>, context_.codings)).start(settings);
  }

  report::DecompressionStats& stats_;
  FilterContext& context_;
  const bool trusted_;  // it comes from an upstream
  std::optional<Codec> codec_;
};

class DecompressorFilter final : public HttpFilter {
 public:
  DecompressorFilter(const config::Decompressor& config, FilterContext& context)
      : config_(config), context_(context), coding_(config::content_coding(config.library)) {}

  Verdict on_request(http::RequestHead& head, bool end_stream, Instant) override {
    const bool suits = !end_stream && head.upgrade.empty();
    if (!begin(config_.request, suits, head.headers, stats().request, request_)) return Verdict::kNoMemory;
    return config_.advertise && config_.response.enabled && !advertise(head.headers) ? Verdict::kNoMemory : Verdict::kContinue;
  }
  BodyFilter* request_body() override { return request_ ? &*request_ : nullptr; }

  bool on_response(http::ResponseHead& head, bool end_stream, Instant) override {
    return begin(config_.response, !end_stream, head.headers, stats().response, response_);
  }
  BodyFilter* response_body() override { return response_ ? &*response_ : nullptr; }

 private:
  report::DecompressorStats& stats() const { return config_.cell->per_worker[context_.worker]; }

  /// False: no memory.
  bool begin(const config::Decompressor::Direction& direction, bool suits, http::HeaderMap& headers,
             report::DecompressionStats& stats, std::optional<DecompressedBody>& body) {
    if (!direction.enabled) return true;
    const Codings codings = split_codings(headers.joined_value(kContentEncoding));
    const bool may_transform =
        direction.ignore_no_transform || !http::list_contains(headers.value("cache-control"), "no-transform");
    if (!suits || !may_transform || !equal_ignoring_case(codings.last, coding_)) {
      stats.not_decompressed.add();
      return true;
    }
    body.emplace(stats, context_, &body == &response_);
    if (!body->start(config_.library)) return false;
    stats.decompressed.add();
    headers.remove(http::HeaderId::kContentLength);
    if (!codings.rest.empty()) return headers.set_copy(kContentEncoding, codings.rest);
    headers.remove(kContentEncoding);
    return true;
  }

  bool advertise(http::HeaderMap& headers) const {
    const std::string_view accepted = headers.joined_value(kAcceptEncoding);
    if (http::list_contains(accepted, coding_)) return true;
    const std::string_view both = accepted.empty() ? coding_ : headers.arena().concat({accepted, ",", coding_});
    return both.data() != nullptr && headers.set_copy(kAcceptEncoding, both);
  }

  const config::Decompressor& config_;
  FilterContext& context_;
  const std::string_view coding_;
  std::optional<DecompressedBody> request_;
  std::optional<DecompressedBody> response_;
};

}  // namespace

MadeFilter make_filter(const config::Decompressor& config, const FilterSite& site) {
  return MadeFilter::of(make_in_arena<DecompressorFilter>(site.context.arena, config, site.context));
}

}  // namespace millrace::proxy
