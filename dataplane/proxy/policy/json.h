// JSON (RFC 8259) into values in an arena, and back into text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/base/result.h"
#include "dataplane/proxy/policy/metadata.h"
#include "dataplane/proxy/policy/text_writer.h"

namespace millrace::proxy {

/// One for a worker: it holds the parser's memory, and takes none later.
class JsonReader {
 public:
  /// Behind a text, for the parser to read into.
  static constexpr std::size_t kPaddingBytes = 64;
  /// How deep objects and lists may lie in each other.
  static constexpr std::size_t kMostLevels = 32;

  explicit JsonReader(std::size_t most_bytes);
  ~JsonReader();
  JsonReader(const JsonReader&) = delete;
  JsonReader& operator=(const JsonReader&) = delete;

  enum class Failure : std::uint8_t { kInvalid, kNoMemory };
  /// Reads an object; another value, a larger or a deeper text is kInvalid. kPaddingBytes behind `text` are the caller's memory,
  /// whatever they hold. Where a name is given twice, the last one counts. Nothing of the value points into `text`.
  [[nodiscard]] Result<const MetadataValue*, Failure> read_object(std::string_view text, Arena& arena);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The shortest text that stands for the number; whole ones up to 2^53 without a point or an exponent. A view of `out`.
inline constexpr std::size_t kMaxNumberBytes = 32;
std::string_view write_number(double number, std::span<char, kMaxNumberBytes> out);

/// In the arena. Null data(): no memory.
[[nodiscard]] std::string_view write_json(const MetadataValue& value, Arena& arena);
/// As much of it as fits.
void write_json(const MetadataValue& value, TextWriter& out);

}  // namespace millrace::proxy
