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
  EXPECT_EQ(filter_of.gzip.memory_level, 9);
  EXPECT_EQ(filter_of.gzip.level, 1);
  EXPECT_EQ(filter_of.gzip.strategy, 3);
  EXPECT_EQ(filter_of.gzip.window_bits, 15);
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
  EXPECT_EQ(filter_of.gzip.level, -1);
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
  EXPECT_EQ(filter_of.gzip.window_bits, 9);
  EXPECT_EQ(filter_of.gzip.max_inflate_ratio, 5u);
  EXPECT_FALSE(filter_of.request.enabled || filter_of.advertise);
  EXPECT_TRUE(filter_of.response.enabled && filter_of.response.ignore_no_transform);
  EXPECT_EQ(filter_of.cell->name, "http.ingress.decompressor.lib.gzip.");
  const auto plain = filter<config::Decompressor>(kDecompressor, "decompressor" + library("gzip.decompressor.v3.Gzip"));
  EXPECT_TRUE(plain.request.enabled && plain.response.enabled && plain.advertise);
  EXPECT_EQ(plain.gzip.max_inflate_ratio, 100u);
}

TEST(TranslateFilters_Compressor, RefusesOtherLibraries) {
  EXPECT_THAT(errors_of(with_filter(any(kCompressor, "compressor" + library("gzip.decompressor.v3.Gzip")))),
              Contains(HasSubstr("is not supported yet: use envoy.extensions.compression.gzip.compressor.v3.Gzip")));
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
