// Compression of bodies. Sources: envoy.extensions.filters.http.{compressor,decompressor}.v3, envoy.extensions.compression.gzip.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/report/cells.h"

namespace millrace::config {

/// zlib's parameters.
struct GzipCompression {
  int level = -1;    ///< 1 to 9; -1: zlib's own choice
  int strategy = 0;  ///< zlib's number
  int window_bits = 12;
  int memory_level = 5;
};

struct GzipDecompression {
  int window_bits = 15;
  std::uint32_t max_inflate_ratio = 100;  ///< bytes out for each byte in; more is an error
};

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
  GzipCompression gzip;
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
  GzipDecompression gzip;
  std::shared_ptr<report::DecompressorCell> cell;
};

}  // namespace millrace::config
