// Lookup by number: a perfect hash of the known names, so that a name is compared with one candidate at most.
#include "dataplane/http/header_map.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "dataplane/base/assert.h"

namespace millrace::http {
namespace {

constexpr std::string_view kNames[] = {
    "",
#define MR_HEADER(id, name) name,
#include "dataplane/http/headers.def"
#undef MR_HEADER
};
constexpr std::size_t kNameCount = std::size(kNames);
constexpr std::size_t kMaxNameLength = 40;
static_assert(std::ranges::all_of(kNames, [](std::string_view name) { return name.size() <= kMaxNameLength; }));

// The ends of a name, which tell the known ones apart; with the length they are all of a name up to 16 bytes.
struct NameEnds {
  std::uint64_t first = 0;
  std::uint64_t last = 0;

  constexpr bool operator==(const NameEnds&) const = default;
};

constexpr std::uint64_t load(const char* from, std::size_t size) {
  std::uint64_t word = 0;
  if (std::is_constant_evaluated()) {
    for (std::size_t i = size; i > 0; --i) word = word << 8 | static_cast<std::uint8_t>(from[i - 1]);
  } else {
    std::memcpy(&word, from, size);
  }
  return word;
}

constexpr NameEnds ends_of(std::string_view name) {
  const std::size_t size = name.size();
  const char* const end = name.data() + size;
  if (size >= 8) return {load(name.data(), 8), load(end - 8, 8)};
  if (size >= 4) return {load(name.data(), 4), load(end - 4, 4)};
  return {load(name.data(), 1), load(end - 1, 1) | load(name.data() + size / 2, 1) << 8};
}

constexpr std::size_t kSlots = 1024;
constexpr std::size_t slot_of(const NameEnds& ends, std::string_view name, std::uint64_t seed) {
  const std::size_t size = name.size();
  const std::uint64_t middle = size > 16 ? load(name.data() + size / 2 - 4, 8) : size;
  return ((ends.first ^ std::rotl(ends.last, 29) ^ std::rotl(middle, 43)) * seed) >> 54;
}

struct NameTable {
  std::uint64_t seed = 0x9e37'79b9'7f4a'7c15;
  std::array<NameEnds, kNameCount> ends{};
  std::array<std::uint8_t, kSlots> ids{};  // 0: none

  constexpr bool fill() {
    ids = {};
    for (std::size_t id = 1; id < kNameCount; ++id) {
      ends[id] = ends_of(kNames[id]);
      std::uint8_t& slot = ids[slot_of(ends[id], kNames[id], seed)];
      if (slot != 0) return false;
      slot = static_cast<std::uint8_t>(id);
    }
    return true;
  }
};

constexpr NameTable make_name_table() {
  NameTable table;
  while (!table.fill()) table.seed = table.seed * 0x5851'f42d'4c95'7f2d | 1;
  return table;
}
constexpr NameTable kTable = make_name_table();

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return to_lower(x) == to_lower(y); });
}

static_assert(kNameCount <= 64, "HeaderSet has a bit for each");

// Ids are unique per known name, so that the name itself is compared for unknown ones only.
auto known(HeaderId id) {
  return [id](const HeaderField& field) { return field.id == id; };
}
auto unknown(std::string_view name) {
  return [name](const HeaderField& field) { return field.id == HeaderId::kOther && field.name == name; };
}

}  // namespace

HeaderId header_id(std::string_view name) {
  if (name.empty()) return HeaderId::kOther;
  const NameEnds ends = ends_of(name);
  const std::uint8_t id = kTable.ids[slot_of(ends, name, kTable.seed)];
  const bool same = kTable.ends[id] == ends && kNames[id].size() == name.size() &&
                    (name.size() <= 16 || std::memcmp(kNames[id].data() + 8, name.data() + 8, name.size() - 16) == 0);
  return same ? static_cast<HeaderId>(id) : HeaderId::kOther;
}

std::string_view header_name(HeaderId id) { return kNames[static_cast<std::size_t>(id)]; }

bool HeaderMap::grow() {
  if (size_ >= limit_) return false;
  // 16, 64, then all that the limit allows: at most one array larger than a small chunk of the arena.
  const std::size_t wanted = capacity_ == 0 ? 16 : capacity_ == 16 ? 64 : limit_;
  const std::span<HeaderField> grown = arena_.make_array<HeaderField>(std::min(wanted, limit_));
  if (grown.empty()) return false;
  std::copy_n(fields_, size_, grown.data());
  fields_ = grown.data();
  capacity_ = grown.size();
  return true;
}

bool HeaderMap::add_reference(HeaderId id, std::string_view name, std::string_view value) {
  return add_line(id, name, value, false);
}

bool HeaderMap::add_line(HeaderId id, std::string_view name, std::string_view value, bool verbatim) {
  if (!reserve_one()) return false;
  fields_[size_++] = {id, verbatim, name, value};
  present_.add(id);
  return true;
}

bool HeaderMap::add_copy(std::string_view name, std::string_view value) {
  if (!reserve_one()) return false;
  auto* memory = static_cast<char*>(arena_.allocate(std::max<std::size_t>(name.size() + value.size(), 1), 1));
  if (memory == nullptr) return false;
  std::transform(name.begin(), name.end(), memory, to_lower);
  std::copy(value.begin(), value.end(), memory + name.size());
  const std::string_view lower(memory, name.size());
  return add_reference(header_id(lower), lower, {memory + name.size(), value.size()});
}

bool HeaderMap::add_copy(HeaderId id, std::string_view value) {
  MR_ASSERT(id != HeaderId::kOther);
  if (!reserve_one()) return false;
  const std::string_view copy = arena_.copy(value);
  return copy.data() != nullptr && add_reference(id, header_name(id), copy);
}

bool HeaderMap::set_copy(std::string_view name, std::string_view value) {
  char lower[kMaxNameLength];
  if (name.size() <= kMaxNameLength) {
    std::transform(name.begin(), name.end(), lower, to_lower);
    if (const HeaderId id = header_id({lower, name.size()}); id != HeaderId::kOther) return set_copy(id, value);
  }
  const auto matches = [&](const HeaderField& field) {
    return field.id == HeaderId::kOther && equal_ignoring_case(field.name, name);
  };
  HeaderField* const end = fields_ + size_;
  HeaderField* const first = std::find_if(fields_, end, matches);
  if (first == end) return add_copy(name, value);
  const std::string_view copy = arena_.copy(value);
  if (copy.data() == nullptr) return false;
  first->value = copy;
  first->verbatim = false;
  size_ = static_cast<std::size_t>(std::remove_if(first + 1, end, matches) - fields_);
  return true;
}

bool HeaderMap::set_copy(HeaderId id, std::string_view value) {
  MR_ASSERT(id != HeaderId::kOther);
  if (!present_.has(id)) return add_copy(id, value);
  const std::string_view copy = arena_.copy(value);
  if (copy.data() == nullptr) return false;
  HeaderField* const end = fields_ + size_;
  HeaderField* const first = std::find_if(fields_, end, known(id));
  first->value = copy;
  first->verbatim = false;
  size_ = static_cast<std::size_t>(std::remove_if(first + 1, end, known(id)) - fields_);
  return true;
}

template <typename Matches>
std::size_t HeaderMap::remove_if(Matches&& matches) {
  const std::size_t before = size_;
  size_ = static_cast<std::size_t>(std::remove_if(fields_, fields_ + size_, matches) - fields_);
  return before - size_;
}

std::size_t HeaderMap::remove(HeaderId id) {
  MR_ASSERT(id != HeaderId::kOther);
  if (!present_.has(id)) return 0;
  present_.remove(id);
  return remove_if(known(id));
}

std::size_t HeaderMap::remove(std::string_view name) {
  const HeaderId id = header_id(name);
  if (id != HeaderId::kOther) return remove(id);
  return present_.has(HeaderId::kOther) ? remove_if(unknown(name)) : 0;
}

void HeaderMap::remove_all(HeaderSet names) {
  MR_ASSERT(!names.has(HeaderId::kOther));
  if (!present_.has_any(names)) return;
  present_.remove(names);
  remove_if([names](const HeaderField& field) { return names.has(field.id); });
}

const HeaderField* HeaderMap::find(HeaderId id) const {
  if (!present_.has(id)) return nullptr;
  const HeaderField* const end = fields_ + size_;
  const HeaderField* const found = std::find_if(static_cast<const HeaderField*>(fields_), end, known(id));
  return found == end ? nullptr : found;
}

const HeaderField* HeaderMap::find(std::string_view name) const {
  const HeaderId id = header_id(name);
  if (id != HeaderId::kOther) return find(id);
  const HeaderField* const end = fields_ + size_;
  const HeaderField* const found = std::find_if(static_cast<const HeaderField*>(fields_), end, unknown(name));
  return found == end ? nullptr : found;
}

std::string_view HeaderMap::value(HeaderId id) const {
  const HeaderField* field = find(id);
  return field == nullptr ? std::string_view() : field->value;
}

std::string_view HeaderMap::value(std::string_view name) const {
  const HeaderField* field = find(name);
  return field == nullptr ? std::string_view() : field->value;
}

std::string_view HeaderMap::joined_value(std::string_view name) const {
  const HeaderId id = header_id(name);
  return id == HeaderId::kOther ? join(unknown(name)) : joined_value(id);
}

std::string_view HeaderMap::joined_value(HeaderId id) const { return present_.has(id) ? join(known(id)) : std::string_view(); }

template <typename Matches>
std::string_view HeaderMap::join(Matches&& matches) const {
  std::size_t count = 0;
  std::size_t bytes = 0;
  std::string_view only;
  for (const HeaderField& field : fields()) {
    if (!matches(field)) continue;
    only = field.value.data() == nullptr ? std::string_view("") : field.value;
    bytes += only.size() + (count++ > 0 ? 1 : 0);
  }
  if (count <= 1) return only;
  auto* memory = static_cast<char*>(arena_.allocate(bytes, 1));
  if (memory == nullptr) return {};
  char* next = memory;
  for (const HeaderField& field : fields()) {
    if (!matches(field)) continue;
    if (next != memory) *next++ = ',';
    next = std::copy(field.value.begin(), field.value.end(), next);
  }
  return {memory, static_cast<std::size_t>(next - memory)};
}

bool list_contains(std::string_view list, std::string_view token) {
  while (true) {
    const std::size_t comma = list.find(',');
    std::string_view element = list.substr(0, comma);
    while (!element.empty() && (element.front() == ' ' || element.front() == '\t')) element.remove_prefix(1);
    while (!element.empty() && (element.back() == ' ' || element.back() == '\t')) element.remove_suffix(1);
    if (equal_ignoring_case(element, token)) return !token.empty();
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace millrace::http
