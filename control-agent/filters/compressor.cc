#include <algorithm>
#include <array>
#include <optional>

#include "control-agent/filters/rows.h"
#include "control-agent/translate_common.h"
#include "envoy/extensions/compression/brotli/compressor/v3/brotli.pb.h"
#include "envoy/extensions/compression/brotli/decompressor/v3/brotli.pb.h"
#include "envoy/extensions/compression/gzip/compressor/v3/gzip.pb.h"
#include "envoy/extensions/compression/gzip/decompressor/v3/gzip.pb.h"
#include "envoy/extensions/compression/zstd/compressor/v3/zstd.pb.h"
#include "envoy/extensions/compression/zstd/decompressor/v3/zstd.pb.h"

namespace millrace::agent {

namespace compressor = envoy::extensions::filters::http::compressor::v3;
namespace decompressor = envoy::extensions::filters::http::decompressor::v3;
namespace compression = envoy::extensions::compression;
using CompressorBrotli = compression::brotli::compressor::v3::Brotli;
using CompressorGzip = compression::gzip::compressor::v3::Gzip;
using CompressorZstd = compression::zstd::compressor::v3::Zstd;
using DecompressorBrotli = compression::brotli::decompressor::v3::Brotli;
using DecompressorGzip = compression::gzip::decompressor::v3::Gzip;
using DecompressorZstd = compression::zstd::decompressor::v3::Zstd;
using envoy::config::core::v3::TypedExtensionConfig;

namespace {

// Envoy's, with the synonyms of each.
constexpr std::array kDefaultContentTypes = {"text/html",
                                             "text/plain",
                                             "text/css",
                                             "application/javascript",
                                             "application/x-javascript",
                                             "text/javascript",
                                             "text/x-javascript",
                                             "text/ecmascript",
                                             "text/js",
                                             "text/jscript",
                                             "text/x-js",
                                             "application/ecmascript",
                                             "application/x-json",
                                             "application/xml",
                                             "application/json",
                                             "image/svg+xml",
                                             "text/xml",
                                             "application/xhtml+xml"};

constexpr std::uint32_t kMostZstdLevel = 22;

/// A library, and what Envoy calls it in names of statistics.
template <typename Library>
struct Named {
  Library library;
  std::string stat_name;
};

config::GzipCompression translate(const CompressorGzip& gzip) {
  config::GzipCompression out;
  if (gzip.compression_level() != CompressorGzip::DEFAULT_COMPRESSION) out.level = gzip.compression_level();
  out.strategy = gzip.compression_strategy();  // numbered as zlib does
  if (gzip.has_window_bits()) out.window_bits = static_cast<int>(gzip.window_bits().value());
  if (gzip.has_memory_level()) out.memory_level = static_cast<int>(gzip.memory_level().value());
  return out;
}

config::BrotliCompression translate(const CompressorBrotli& brotli) {
  using Mode = config::BrotliCompression::Mode;
  config::BrotliCompression out;
  if (brotli.has_quality()) out.quality = static_cast<int>(brotli.quality().value());
  switch (brotli.encoder_mode()) {
    case CompressorBrotli::TEXT: out.mode = Mode::kText; break;
    case CompressorBrotli::FONT: out.mode = Mode::kFont; break;
    default: out.mode = Mode::kGeneric;
  }
  if (brotli.has_window_bits()) out.window_bits = static_cast<int>(brotli.window_bits().value());
  if (brotli.has_input_block_bits()) out.block_bits = static_cast<int>(brotli.input_block_bits().value());
  out.literal_context_modeling = !brotli.disable_literal_context_modeling();
  return out;
}

config::ZstdCompression translate(const CompressorZstd& zstd) {
  config::ZstdCompression out;
  const std::uint32_t level = std::min(zstd.compression_level().value(), kMostZstdLevel);
  if (level > 0) out.level = static_cast<int>(level);
  out.strategy = zstd.strategy();  // numbered as libzstd does
  out.checksum = zstd.enable_checksum();
  return out;
}

config::GzipDecompression translate(const DecompressorGzip& gzip) {
  config::GzipDecompression out;
  if (gzip.has_window_bits()) out.window_bits = static_cast<int>(gzip.window_bits().value());
  if (gzip.has_max_inflate_ratio()) out.max_inflate_ratio = gzip.max_inflate_ratio().value();
  return out;
}

config::BrotliDecompression translate(const DecompressorBrotli& brotli) {
  return {.grows_window = !brotli.disable_ring_buffer_reallocation()};
}

config::ZstdDecompression translate(const DecompressorZstd&) { return {}; }

/// One of three messages. With an error: another library.
template <typename Library, typename Gzip, typename Brotli, typename Zstd>
Named<Library> translate_library(const TypedExtensionConfig& config, const std::string& path, Diagnostics& diagnostics) {
  if (const auto gzip = unpack<Gzip>(config.typed_config())) return {translate(*gzip), "gzip"};
  if (const auto brotli = unpack<Brotli>(config.typed_config())) return {translate(*brotli), "brotli"};
  if (const auto zstd = unpack<Zstd>(config.typed_config())) return {translate(*zstd), "zstd"};
  diagnostics.error(join_path(path, "typed_config"), "the library \"" + config.typed_config().type_url() +
                                                         "\" is not supported: use " + Gzip::descriptor()->full_name() + ", " +
                                                         Brotli::descriptor()->full_name() + " or " +
                                                         Zstd::descriptor()->full_name());
  return {};
}

template <typename Types>
void take_content_types(const Types& types, config::Compressor::Direction& out) {
  if (types.empty()) {
    out.content_types.assign(kDefaultContentTypes.begin(), kDefaultContentTypes.end());
  } else {
    for (const std::string& type : types) out.content_types.push_back(lower(type));
  }
}

config::Compressor::Direction translate_direction(const compressor::Compressor::CommonDirectionConfig& common,
                                                  TranslateContext& context) {
  config::Compressor::Direction out;
  out.enabled = !common.has_enabled() || translate_flag(common.enabled(), context);
  if (common.has_min_content_length()) out.min_content_length = common.min_content_length().value();
  take_content_types(common.content_type(), out);
  return out;
}

/// As the fields say that response_direction_config has replaced.
void translate_old_fields(const compressor::Compressor& filter, config::Compressor& out, TranslateContext& context) {
  out.response.enabled = !filter.has_runtime_enabled() || translate_flag(filter.runtime_enabled(), context);
  if (filter.has_content_length()) out.response.min_content_length = filter.content_length().value();
  take_content_types(filter.content_type(), out.response);
  out.disable_on_etag = filter.disable_on_etag_header();
  out.remove_accept_encoding = filter.remove_accept_encoding_header();
}

config::Decompressor::Direction translate_direction(const decompressor::Decompressor::CommonDirectionConfig& common,
                                                    TranslateContext& context) {
  return {.enabled = !common.has_enabled() || translate_flag(common.enabled(), context),
          .ignore_no_transform = common.ignore_no_transform_header()};
}

}  // namespace

config::Compressor translate_filter(const compressor::Compressor& filter, const std::string& path, TranslateContext& context) {
  config::Compressor out;
  const auto library = translate_library<config::CompressionLibrary, CompressorGzip, CompressorBrotli, CompressorZstd>(
      filter.compressor_library(), join_path(path, "compressor_library"), context.diagnostics);
  out.library = library.library;
  out.choose_first = filter.choose_first();
  if (filter.has_request_direction_config())
    out.request = translate_direction(filter.request_direction_config().common_config(), context);
  if (filter.has_response_direction_config()) {
    const auto& response = filter.response_direction_config();
    out.response = translate_direction(response.common_config(), context);
    out.disable_on_etag = response.disable_on_etag_header();
    out.remove_accept_encoding = response.remove_accept_encoding_header();
  } else {
    translate_old_fields(filter, out, context);
  }
  // Statistics of responses stand one level higher where the older fields are used, as in Envoy.
  const std::string name =
      "http." + context.stat_prefix + ".compressor." + filter.compressor_library().name() + "." + library.stat_name + ".";
  out.cell = context.cells.compressors.get(name + (filter.has_response_direction_config() ? "|response." : "|"));
  return out;
}

config::CompressorOverride translate_filter(const compressor::CompressorPerRoute& route, const std::string&, TranslateContext&) {
  config::CompressorOverride out;
  out.disabled = route.disabled();
  if (!route.overrides().has_response_direction_config()) return out;
  const auto& response = route.overrides().response_direction_config();
  out.compress_responses = true;
  if (response.has_remove_accept_encoding_header()) out.remove_accept_encoding = response.remove_accept_encoding_header().value();
  return out;
}

config::Decompressor translate_filter(const decompressor::Decompressor& filter, const std::string& path,
                                      TranslateContext& context) {
  config::Decompressor out;
  const auto library = translate_library<config::DecompressionLibrary, DecompressorGzip, DecompressorBrotli, DecompressorZstd>(
      filter.decompressor_library(), join_path(path, "decompressor_library"), context.diagnostics);
  out.library = library.library;
  const auto& request = filter.request_direction_config();
  out.request = translate_direction(request.common_config(), context);
  out.response = translate_direction(filter.response_direction_config().common_config(), context);
  if (request.has_advertise_accept_encoding()) out.advertise = request.advertise_accept_encoding().value();
  out.cell = context.cells.decompressors.get("http." + context.stat_prefix + ".decompressor." +
                                             filter.decompressor_library().name() + "." + library.stat_name + ".");
  return out;
}

}  // namespace millrace::agent
