// Files that secrets are read from, and whether they have changed since: by what stat says of them, then by their content.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/result.h"

namespace millrace::agent {

/// As for every text that a configuration names.
inline constexpr std::size_t kMaxSecretFileBytes = 1024 * 1024;

/// What stat says of the file behind all symbolic links.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;  ///< since 1970
  std::int64_t changed_ns = 0;
  bool operator==(const FileIdentity&) const = default;
};

/// A file as it was when somebody read it.
struct WatchedFile {
  std::string path;
  std::optional<FileIdentity> identity;  ///< none: it could not be read
  std::uint64_t content = 0;             ///< hash
  /// Its last change was so recent that another one may leave the same times: its content is compared.
  bool young = false;
};

/// Reads files and keeps what changed() needs of them. Not for several threads at a time.
class FileReader {
 public:
  /// All of the file; an error names it, the reason and what to do. Each call reads it anew.
  [[nodiscard]] Result<std::string, std::string> read(const std::string& path);
  /// What read() was asked for, each path once.
  [[nodiscard]] std::vector<WatchedFile> take_files() { return std::move(files_); }

 private:
  std::vector<WatchedFile> files_;
};

/// Whether another read would find something else. A file with new times and the same content has not changed, and `file` learns
/// the times.
[[nodiscard]] bool changed(WatchedFile& file);

}  // namespace millrace::agent
