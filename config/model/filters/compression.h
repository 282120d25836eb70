// Compression of bodies. Sources: envoy.extensions.filters.http.{compressor,decompressor}.v3,
// envoy.extensions.compression.{gzip,brotli,zstd}.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "dataplane/report/cells.h"

namespace millrace::config {

/// What a decompressor lets out for each byte in, where nothing else is configured; more is an error. Envoy's.
inline constexpr std::uint32_t kMaxInflateRatio = 100;

/// zlib's parameters.
struct GzipCompression {
  static constexpr std::string_view kCoding = "gzip";
  int level = -1;    ///< 1 to 9; -1: zlib's own choice
  int strategy = 0;  ///< zlib's number
  int window_bits = 12;
  int memory_level = 5;
};

struct GzipDecompression {
  static constexpr std::string_view kCoding = "gzip";
  int window_bits = 15;
  std::uint32_t max_inflate_ratio = kMaxInflateRatio;
};

/// libbrotli's parameters.
struct BrotliCompression {
  static constexpr std::string_view kCoding = "br";
  enum class Mode : std::uint8_t { kGeneric, kText, kFont };  ///< numbered as libbrotli does
  int quality = 3;                                            ///< 0 to 11
  Mode mode = Mode::kGeneric;
  int window_bits = 18;  ///< 10 to 24
  int block_bits = 24;   ///< 16 to 24; at most the window counts
  bool literal_context_modeling = true;
};

struct BrotliDecompression {
  static constexpr std::string_view kCoding = "br";
  bool grows_window = true;  ///< with the content; else it is allocated as large as it may become
};

/// libzstd's parameters.
struct ZstdCompression {
  static constexpr std::string_view kCoding = "zstd";
  int level = 3;     ///< 1 to 22
  int strategy = 0;  ///< libzstd's number; 0: as the level says
  bool checksum = false;
};

struct ZstdDecompression {
  static constexpr std::string_view kCoding = "zstd";
};

using CompressionLibrary = std::variant<GzipCompression, BrotliCompression, ZstdCompression>;
using DecompressionLibrary = std::variant<GzipDecompression, BrotliDecompression, ZstdDecompression>;

/// As Content-Encoding names it: "br".
template <typename Library>
[[nodiscard]] std::string_view content_coding(const Library& library) {
  return std::visit([](const auto& settings) { return settings.kCoding; }, library);
}

/// In the connection manager.
struct Compressor {
  struct Direction {
    bool enabled = false;
    std::uint32_t min_content_length = 30;   ///< bytes
    std::vector<std::string> content_types;  ///< in lower case, without parameters
  };
  Direction request;
  Direction response;
  bool disable_on_etag = false;         ///< of responses; else strong etags are removed
  bool remove_accept_encoding = false;  ///< from requests: the upstream is not to compress
  bool choose_first = false;            ///< of several compressors, where the client wants them alike
  CompressionLibrary library;
  std::shared_ptr<report::CompressorCell> cell;
};

/// For a route.
struct CompressorOverride {
  bool disabled = false;            ///< both directions
  bool compress_responses = false;  ///< whatever the connection manager says
  std::optional<bool> remove_accept_encoding;
};

struct Decompressor {
  struct Direction {
    bool enabled = true;
    bool ignore_no_transform = false;
  };
  Direction request;
  Direction response;
  bool advertise = true;  ///< to upstreams, where responses are decompressed
  DecompressionLibrary library;
  std::shared_ptr<report::DecompressorCell> cell;
};

}  // namespace millrace::config
