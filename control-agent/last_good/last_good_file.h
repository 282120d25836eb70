// The last good configuration on disk. A line of text (magic, format, SHA-256 and length of what follows), then messages, each
// behind its length as a varint: an envoy.config.core.v3.Node, and an envoy.service.discovery.v3.DeltaDiscoveryResponse for each
// kind, whose control_plane.identifier is the source.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "control-agent/last_good/last_good.h"
#include "dataplane/base/result.h"

namespace millrace::agent {

inline constexpr std::size_t kMaxLastGoodBytes = 1024UL * 1024 * 1024;

[[nodiscard]] std::string encode_last_good(const LastGood& last_good);
/// An error says what is wrong with the bytes.
[[nodiscard]] Result<LastGood, std::string> decode_last_good(std::string_view bytes);

/// No file: an empty one. Errors name the path.
[[nodiscard]] Result<LastGood, std::string> read_last_good(const std::string& path);
/// The file is whole at any time, also after a power failure: the old one or the new one. Mode 0600.
[[nodiscard]] Result<void, std::string> write_last_good(const std::string& path, std::string_view bytes);

/// Whether `path` may be written to: its folder exists. With private data nobody else may read the folder.
[[nodiscard]] Result<void, std::string> check_last_good_folder(const std::string& path, bool with_private_data);

}  // namespace millrace::agent
