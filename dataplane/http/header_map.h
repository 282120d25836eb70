// Header fields of one message in the order of arrival, with bytes that live in the stream's arena.
// Names are kept in lower case, as Envoy does; comparison of names is therefore exact.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "dataplane/base/arena.h"

namespace millrace::http {

/// The fields of headers.def; kOther for all the rest.
enum class HeaderId : std::uint8_t {
  kOther,
#define MR_HEADER(id, name) k##id,
#include "dataplane/http/headers.def"
#undef MR_HEADER
};

/// kOther for an unknown name; `name` must be in lower case.
[[nodiscard]] HeaderId header_id(std::string_view name);
/// The lower-case name; empty for kOther.
[[nodiscard]] std::string_view header_name(HeaderId id);

/// Some of the known names; all the others are one more, kOther.
class HeaderSet {
 public:
  constexpr HeaderSet() = default;
  constexpr HeaderSet(std::initializer_list<HeaderId> ids) {
    for (const HeaderId id : ids) add(id);
  }
  constexpr void add(HeaderId id) { bits_ |= bit(id); }
  constexpr void remove(HeaderId id) { bits_ &= ~bit(id); }
  constexpr void remove(HeaderSet other) { bits_ &= ~other.bits_; }
  [[nodiscard]] constexpr bool has(HeaderId id) const { return (bits_ & bit(id)) != 0; }
  [[nodiscard]] constexpr bool has_any(HeaderSet other) const { return (bits_ & other.bits_) != 0; }

 private:
  static constexpr std::uint64_t bit(HeaderId id) { return std::uint64_t{1} << static_cast<unsigned>(id); }
  std::uint64_t bits_ = 0;
};

struct HeaderField {
  HeaderId id = HeaderId::kOther;
  /// Name and value were read by HTTP/1 and lie in memory as they are written: "name: value" CRLF.
  bool verbatim = false;
  std::string_view name;
  std::string_view value;
};

/// The operations that add bytes return false when the arena or the field limit is exhausted, and then have changed nothing.
class HeaderMap {
 public:
  HeaderMap(Arena& arena, std::size_t field_limit) : arena_(arena), limit_(field_limit) {}
  HeaderMap(const HeaderMap&) = delete;
  HeaderMap& operator=(const HeaderMap&) = delete;

  /// Adds a field whose bytes already live as long as the arena (or for ever).
  [[nodiscard]] bool add_reference(HeaderId id, std::string_view name, std::string_view value);
  [[nodiscard]] bool add_reference(HeaderId id, std::string_view value) { return add_reference(id, header_name(id), value); }
  /// As add_reference(), for a field of a head: see HeaderField::verbatim.
  [[nodiscard]] bool add_line(HeaderId id, std::string_view name, std::string_view value, bool verbatim);
  /// Adds a field, copying its bytes into the arena; the name is converted to lower case.
  [[nodiscard]] bool add_copy(std::string_view name, std::string_view value);
  [[nodiscard]] bool add_copy(HeaderId id, std::string_view value);
  /// Replaces all fields of that name by one (copying), or adds it.
  [[nodiscard]] bool set_copy(std::string_view name, std::string_view value);
  [[nodiscard]] bool set_copy(HeaderId id, std::string_view value);

  /// Removes all fields of that name; returns how many.
  std::size_t remove(HeaderId id);
  std::size_t remove(std::string_view name);
  /// Removes all fields of those names, known ones.
  void remove_all(HeaderSet names);
  void clear() {
    size_ = 0;
    present_ = {};
  }

  /// The first field of that name; null when there is none.
  [[nodiscard]] const HeaderField* find(HeaderId id) const;
  [[nodiscard]] const HeaderField* find(std::string_view name) const;
  [[nodiscard]] bool contains(HeaderId id) const { return present_.has(id); }
  [[nodiscard]] bool contains_any(HeaderSet names) const { return present_.has_any(names); }
  /// The first value of that name; empty when there is none.
  [[nodiscard]] std::string_view value(HeaderId id) const;
  [[nodiscard]] std::string_view value(std::string_view name) const;
  /// All values of that name joined by "," (allocated from the arena when there are several); nothing found: null data().
  [[nodiscard]] std::string_view joined_value(std::string_view name) const;
  [[nodiscard]] std::string_view joined_value(HeaderId id) const;

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::span<const HeaderField> fields() const { return {fields_, size_}; }
  [[nodiscard]] Arena& arena() const { return arena_; }

 private:
  [[nodiscard]] bool reserve_one() { return size_ < capacity_ || grow(); }
  [[nodiscard]] bool grow();
  template <typename Matches>
  std::size_t remove_if(Matches&& matches);
  template <typename Matches>
  [[nodiscard]] std::string_view join(Matches&& matches) const;

  Arena& arena_;
  std::size_t limit_;
  HeaderField* fields_ = nullptr;
  HeaderSet present_;  // of the fields; most questions are about names that are not there
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

/// Is `token` an element of the comma-separated list `list`? Case-insensitive (RFC 9110 5.6.1).
[[nodiscard]] bool list_contains(std::string_view list, std::string_view token);

}  // namespace millrace::http
