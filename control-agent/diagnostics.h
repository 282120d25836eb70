// What is wrong with a configuration, as values: errors with file, line, path and reason, collected instead of thrown, so that
// one run shows everything. Bounded: beyond kMaxConfigErrors only the fact is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace millrace::agent {

inline constexpr std::size_t kMaxConfigErrors = 100;

struct ConfigError {
  std::string file;        ///< empty: no file (a resource from a control plane)
  std::uint32_t line = 0;  ///< from 1; 0: unknown
  std::string path;        ///< "static_resources.listeners[0].address"; empty: the whole
  std::string reason;      ///< what is wrong and, where it helps, what to do

  /// "bootstrap.yaml:12: static_resources.listeners[0].address: must be set", without the parts that are empty.
  [[nodiscard]] std::string to_string() const;
  bool operator==(const ConfigError&) const = default;
};

/// Where each field of a loaded message stood in its file.
class SourceMap {
 public:
  struct Place {
    std::string file;
    std::uint32_t line = 0;
  };

  /// All places recorded from now on are in `file`. A file that nothing is recorded for is what find() falls back to.
  void begin_file(std::string_view file);
  void record(const std::string& path, std::uint32_t line);
  /// The place of `path`, or of the nearest field around it that has one.
  [[nodiscard]] Place find(std::string_view path) const;

 private:
  struct Entry {
    std::uint32_t file = 0;
    std::uint32_t line = 0;
  };
  std::vector<std::string> files_;
  std::unordered_map<std::string, Entry> places_;
};

class Diagnostics {
 public:
  /// `places` may be null (no file stands behind the message) and must outlive this.
  explicit Diagnostics(const SourceMap* places = nullptr) : places_(places) {}

  /// Later errors at the same path are dropped: the first check that fails there says it best.
  void error(std::string path, std::string reason);
  /// An error of form, found while reading. What lies around its path may look incomplete because of it: later errors there are
  /// dropped too.
  void error_at(std::string file, std::uint32_t line, std::string path, std::string reason);
  void warning(std::string path, std::string reason);
  void warning_at(std::string file, std::uint32_t line, std::string path, std::string reason);
  /// The message at `path` has fields that only another version of the API knows: those of these numbers.
  void unknown_fields(std::string path, const std::vector<int>& numbers);
  /// A field that is accepted and does nothing.
  void harmless(std::string path, std::string note);

  [[nodiscard]] bool ok() const { return errors_.empty(); }
  /// An error was reported at `path` itself.
  [[nodiscard]] bool has_error(const std::string& path) const { return failed_paths_.contains(path); }
  [[nodiscard]] bool full() const { return errors_.size() >= kMaxConfigErrors; }
  [[nodiscard]] const std::vector<ConfigError>& errors() const { return errors_; }
  [[nodiscard]] const std::vector<ConfigError>& warnings() const { return warnings_; }
  [[nodiscard]] const std::vector<ConfigError>& harmless_fields() const { return harmless_; }
  /// One for each message that has some: whoever asks decides whether that is wrong.
  [[nodiscard]] const std::vector<ConfigError>& unknown_fields() const { return unknown_; }

 private:
  [[nodiscard]] ConfigError locate(std::string path, std::string reason) const;

  const SourceMap* places_;
  std::vector<ConfigError> errors_;
  std::vector<ConfigError> warnings_;
  std::vector<ConfigError> harmless_;
  std::vector<ConfigError> unknown_;
  std::unordered_set<std::string> failed_paths_;
  std::unordered_set<std::string> incomplete_paths_;  ///< around what error_at() reported
};

/// "a" + "b" -> "a.b"; "" + "b" -> "b".
[[nodiscard]] std::string join_path(std::string_view parent, std::string_view field);
/// "a.b" + 3 -> "a.b[3]".
[[nodiscard]] std::string index_path(std::string_view parent, std::size_t index);
/// "a.b" + "key" -> a.b["key"].
[[nodiscard]] std::string key_path(std::string_view parent, std::string_view key);

}  // namespace millrace::agent
