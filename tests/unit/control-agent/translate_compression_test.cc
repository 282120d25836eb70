// Compressor and decompressor, from text to the model: every field of each message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/filter_fixture.h"

namespace millrace::agent::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kApi = "type.googleapis.com/envoy.extensions.";
const std::string kCompressor = kApi + "filters.http.compressor.v3.Compressor";
const std::string kDecompressor = kApi + "filters.http.decompressor.v3.Decompressor";

std::string library(const std::string& type, const std::string& fields = "") {
  return "_library: {name: lib, typed_config: " + any(kApi + "compression." + type, fields) + "}";
}

TEST(TranslateFilters_Compressor, TakesEveryField) {
  const auto filter_of = filter<config::Compressor>(
      kCompressor,
      "compressor" +
          library(
              "gzip.compressor.v3.Gzip",
              "memory_level: 9, compression_level: BEST_SPEED, compression_strategy: RLE, window_bits: 15, chunk_size: 8192") +
          ", request_direction_config: {common_config: {min_content_length: 7, content_type: [Text/A]}}, "
          "response_direction_config: {common_config: {enabled: {default_value: false, runtime_key: k}}, "
          "disable_on_etag_header: true, remove_accept_encoding_header: true}, choose_first: true");
  const auto& gzip = std::get<config::GzipCompression>(filter_of.library);
  EXPECT_EQ(gzip.memory_level, 9);
  EXPECT_EQ(gzip.level, 1);
  EXPECT_EQ(gzip.strategy, 3);
  EXPECT_EQ(gzip.window_bits, 15);
  EXPECT_TRUE(filter_of.choose_first);
  EXPECT_TRUE(filter_of.request.enabled);
  EXPECT_EQ(filter_of.request.min_content_length, 7u);
  EXPECT_THAT(filter_of.request.content_types, ElementsAre("text/a"));
  EXPECT_FALSE(filter_of.response.enabled);
  EXPECT_EQ(filter_of.response.min_content_length, 30u);
  EXPECT_THAT(filter_of.response.content_types, Contains("application/json"));
  EXPECT_TRUE(filter_of.disable_on_etag && filter_of.remove_accept_encoding);
  EXPECT_EQ(filter_of.cell->name, "http.ingress.compressor.lib.gzip.|response.");
}

TEST(TranslateFilters_Compressor, TakesTheOlderFields) {
  const auto filter_of = filter<config::Compressor>(
      kCompressor, "compressor" + library("gzip.compressor.v3.Gzip") +
                       ", content_length: 100, content_type: [a/b], disable_on_etag_header: true, "
                       "remove_accept_encoding_header: true, runtime_enabled: {default_value: true, runtime_key: k}");
  EXPECT_FALSE(filter_of.request.enabled);
  EXPECT_TRUE(filter_of.response.enabled && filter_of.disable_on_etag && filter_of.remove_accept_encoding);
  EXPECT_EQ(filter_of.response.min_content_length, 100u);
  EXPECT_THAT(filter_of.response.content_types, ElementsAre("a/b"));
  EXPECT_EQ(std::get<config::GzipCompression>(filter_of.library).level, -1);
  EXPECT_FALSE(filter_of.choose_first);
  EXPECT_EQ(filter_of.cell->name, "http.ingress.compressor.lib.gzip.|");
}

TEST(TranslateFilters_Compressor, RoutesSayOtherwise) {
  BootstrapText text = with_filter(any(kCompressor, "compressor" + library("gzip.compressor.v3.Gzip")));
  const auto of_route = [&](const std::string& fields) {
    text.route = ", typed_per_filter_config: {f: " + any(kApi + "filters.http.compressor.v3.CompressorPerRoute", fields) + "}";
    const auto snapshot = snapshot_of(text);
    return snapshot == nullptr ? config::CompressorOverride{}
                               : std::get<config::CompressorOverride>(route_of(snapshot).filters.find("f")->config);
  };
  EXPECT_TRUE(of_route("disabled: true").disabled);
  const auto overridden = of_route("overrides: {response_direction_config: {remove_accept_encoding_header: true}}");
  EXPECT_TRUE(overridden.compress_responses);
  EXPECT_EQ(overridden.remove_accept_encoding, true);
  EXPECT_FALSE(of_route("overrides: {}").compress_responses);
}

TEST(TranslateFilters_Decompressor, TakesEveryField) {
  const auto filter_of = filter<config::Decompressor>(
      kDecompressor,
      "decompressor" + library("gzip.decompressor.v3.Gzip", "window_bits: 9, chunk_size: 8192, max_inflate_ratio: 5") +
          ", request_direction_config: {common_config: {enabled: {default_value: false, runtime_key: k}}, "
          "advertise_accept_encoding: false}, response_direction_config: {common_config: {ignore_no_transform_header: true}}");
  EXPECT_EQ(std::get<config::GzipDecompression>(filter_of.library).window_bits, 9);
  EXPECT_EQ(std::get<config::GzipDecompression>(filter_of.library).max_inflate_ratio, 5u);
  EXPECT_FALSE(filter_of.request.enabled || filter_of.advertise);
  EXPECT_TRUE(filter_of.response.enabled && filter_of.response.ignore_no_transform);
  EXPECT_EQ(filter_of.cell->name, "http.ingress.decompressor.lib.gzip.");
  const auto plain = filter<config::Decompressor>(kDecompressor, "decompressor" + library("gzip.decompressor.v3.Gzip"));
  EXPECT_TRUE(plain.request.enabled && plain.response.enabled && plain.advertise);
  EXPECT_EQ(std::get<config::GzipDecompression>(plain.library).max_inflate_ratio, 100u);
}

TEST(TranslateFilters_Compressor, TakesBrotli) {
  const auto filter_of = filter<config::Compressor>(
      kCompressor, "compressor" + library("brotli.compressor.v3.Brotli",
                                          "quality: 9, encoder_mode: TEXT, window_bits: 24, input_block_bits: 16, "
                                          "chunk_size: 8192, disable_literal_context_modeling: true"));
  const auto& brotli = std::get<config::BrotliCompression>(filter_of.library);
  EXPECT_EQ(brotli.quality, 9);
  EXPECT_EQ(brotli.mode, config::BrotliCompression::Mode::kText);
  EXPECT_EQ(brotli.window_bits, 24);
  EXPECT_EQ(brotli.block_bits, 16);
  EXPECT_FALSE(brotli.literal_context_modeling);
  EXPECT_EQ(filter_of.cell->name, "http.ingress.compressor.lib.brotli.|");
  const auto plain =
      filter<config::Compressor>(kCompressor, "compressor" + library("brotli.compressor.v3.Brotli", "encoder_mode: FONT"));
  EXPECT_EQ(std::get<config::BrotliCompression>(plain.library).quality, 3);
  EXPECT_EQ(std::get<config::BrotliCompression>(plain.library).mode, config::BrotliCompression::Mode::kFont);
}

TEST(TranslateFilters_Compressor, TakesZstd) {
  const auto zstd_of = [](const std::string& fields) {
    const auto filter_of = filter<config::Compressor>(kCompressor, "compressor" + library("zstd.compressor.v3.Zstd", fields));
    EXPECT_EQ(filter_of.cell->name, "http.ingress.compressor.lib.zstd.|");
    return std::get<config::ZstdCompression>(filter_of.library);
  };
  const auto zstd = zstd_of("compression_level: 7, enable_checksum: true, strategy: BTULTRA2, chunk_size: 8192");
  EXPECT_EQ(zstd.level, 7);
  EXPECT_TRUE(zstd.checksum);
  EXPECT_EQ(zstd.strategy, 9);
  EXPECT_EQ(zstd_of("").level, 3);
  EXPECT_EQ(zstd_of("compression_level: 4000000000").level, 22);
}

TEST(TranslateFilters_Decompressor, TakesBrotliAndZstd) {
  const auto brotli = filter<config::Decompressor>(
      kDecompressor,
      "decompressor" + library("brotli.decompressor.v3.Brotli", "disable_ring_buffer_reallocation: true, chunk_size: 8192"));
  EXPECT_FALSE(std::get<config::BrotliDecompression>(brotli.library).grows_window);
  EXPECT_EQ(brotli.cell->name, "http.ingress.decompressor.lib.brotli.");
  const auto zstd =
      filter<config::Decompressor>(kDecompressor, "decompressor" + library("zstd.decompressor.v3.Zstd", "chunk_size: 8192"));
  EXPECT_TRUE(std::holds_alternative<config::ZstdDecompression>(zstd.library));
  EXPECT_EQ(zstd.cell->name, "http.ingress.decompressor.lib.zstd.");
}

TEST(TranslateFilters_Compressor, RefusesDictionaries) {
  const std::string dictionary = "{inline_string: words}";
  EXPECT_THAT(
      errors_of(with_filter(any(kCompressor, "compressor" + library("zstd.compressor.v3.Zstd", "dictionary: " + dictionary)))),
      Contains(HasSubstr("dictionary: is not supported: bodies are compressed without dictionaries")));
  EXPECT_THAT(errors_of(with_filter(any(
                  kDecompressor, "decompressor" + library("zstd.decompressor.v3.Zstd", "dictionaries: [" + dictionary + "]")))),
              Contains(HasSubstr("dictionaries: is not supported: bodies with dictionaries are refused")));
}

TEST(TranslateFilters_Compressor, RefusesOtherLibraries) {
  EXPECT_THAT(errors_of(with_filter(any(kCompressor, "compressor" + library("gzip.decompressor.v3.Gzip")))),
              Contains(HasSubstr("is not supported: use envoy.extensions.compression.gzip.compressor.v3.Gzip, envoy.")));
}

TEST(TranslateFilters_Buffer, MustNotStandBehindWhatChangesRequests) {
  const std::string buffer = any(kApi + "filters.http.buffer.v3.Buffer", "max_request_bytes: 5");
  const std::string changing = any(kDecompressor, "decompressor" + library("gzip.decompressor.v3.Gzip"));
  const auto chain = [](const std::string& first, const std::string& second) {
    BootstrapText text;
    text.filters = "{name: a, typed_config: " + first + "}, {name: b, typed_config: " + second + "}, ";
    return text;
  };
  EXPECT_THAT(errors_of(chain(changing, buffer)),
              Contains(HasSubstr("http_filters[1]: must stand before the filters that compress")));
  EXPECT_NE(snapshot_of(chain(buffer, changing)), nullptr);
}

}  // namespace
}  // namespace millrace::agent::test
