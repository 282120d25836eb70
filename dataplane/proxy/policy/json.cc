#include "dataplane/proxy/policy/json.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace millrace::proxy {

using simdjson::dom::element;
using simdjson::dom::element_type;
using Kind = MetadataValue::Kind;

static_assert(JsonReader::kPaddingBytes >= simdjson::SIMDJSON_PADDING);

struct JsonReader::Impl {
  simdjson::dom::parser parser;
  std::size_t most_bytes = 0;
};

namespace {

// simdjson's parser has bounded the depth.
bool copy_value(const element& from, Arena& arena, MetadataValue& to);

MetadataValue* make_value(Arena& arena) {
  void* memory = arena.allocate(sizeof(MetadataValue), alignof(MetadataValue));
  return memory == nullptr ? nullptr : ::new (memory) MetadataValue;
}

bool copy_list(const simdjson::dom::array& from, Arena& arena, MetadataValue& to) {
  const MetadataValue** last = &to.first;
  for (const element item : from) {
    MetadataValue* value = make_value(arena);
    if (value == nullptr || !copy_value(item, arena, *value)) return false;
    *last = value;
    last = &value->next;
  }
  return true;
}

// The last member comes first: it is the one that is found where a name is given twice.
bool copy_struct(const simdjson::dom::object& from, Arena& arena, MetadataValue& to) {
  for (const simdjson::dom::key_value_pair member : from) {
    MetadataValue* value = make_value(arena);
    if (value == nullptr || !copy_value(member.value, arena, *value)) return false;
    value->key = arena.copy(member.key);
    if (value->key.data() == nullptr) return false;
    value->next = to.first;
    to.first = value;
  }
  return true;
}

bool copy_value(const element& from, Arena& arena, MetadataValue& to) {
  switch (from.type()) {
    case element_type::ARRAY: to.kind = Kind::kList; return copy_list(from.get_array().value_unsafe(), arena, to);
    case element_type::OBJECT: to.kind = Kind::kStruct; return copy_struct(from.get_object().value_unsafe(), arena, to);
    case element_type::STRING:
      to.kind = Kind::kString;
      to.text = arena.copy(from.get_string().value_unsafe());
      return to.text.data() != nullptr;
    case element_type::INT64:
    case element_type::UINT64:
    case element_type::DOUBLE:
      to.kind = Kind::kNumber;
      to.number = from.get_double().value_unsafe();
      return true;
    case element_type::BOOL:
      to.kind = Kind::kBool;
      to.boolean = from.get_bool().value_unsafe();
      return true;
    case element_type::NULL_VALUE: return true;
  }
  return false;
}

// Writes or, without a place to, counts.
class Sink {
 public:
  explicit Sink(char* out) : out_(out) {}
  void put(std::string_view text) {
    if (out_ != nullptr) std::ranges::copy(text, out_ + size_);
    size_ += text.size();
  }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  char* out_;
  std::size_t size_ = 0;
};

template <typename To>
void put_text(std::string_view text, To& sink) {
  constexpr std::string_view kHex = "0123456789abcdef";
  sink.put("\"");
  for (const char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      sink.put("\\");
      sink.put({&c, 1});
    } else if (byte < 0x20) {
      const std::array<char, 6> escape = {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
      sink.put({escape.data(), escape.size()});
    } else {
      sink.put({&c, 1});
    }
  }
  sink.put("\"");
}

template <typename To>
void put_value(const MetadataValue& value, To& sink) {
  std::array<char, kMaxNumberBytes> digits;
  switch (value.kind) {
    case Kind::kNull: return sink.put("null");
    case Kind::kBool: return sink.put(value.boolean ? "true" : "false");
    case Kind::kNumber: return sink.put(write_number(value.number, digits));
    case Kind::kString: return put_text(value.text, sink);
    case Kind::kList:
    case Kind::kStruct: break;
  }
  const bool is_list = value.kind == Kind::kList;
  sink.put(is_list ? "[" : "{");
  for (const MetadataValue* part = value.first; part != nullptr; part = part->next) {
    if (part != value.first) sink.put(",");
    if (!is_list) {
      put_text(part->key, sink);
      sink.put(":");
    }
    put_value(*part, sink);
  }
  sink.put(is_list ? "]" : "}");
}

}  // namespace

JsonReader::JsonReader(std::size_t most_bytes) : impl_(std::make_unique<Impl>()) {
  impl_->most_bytes = most_bytes;
  const simdjson::error_code error = impl_->parser.allocate(most_bytes, kMostLevels);
  MR_ASSERT(error == simdjson::SUCCESS);
}

JsonReader::~JsonReader() = default;

Result<const MetadataValue*, JsonReader::Failure> JsonReader::read_object(std::string_view text, Arena& arena) {
  if (text.empty() || text.size() > impl_->most_bytes) return Error<Failure>(Failure::kInvalid);
  const auto document = impl_->parser.parse(text.data(), text.size(), false);
  if (document.error() != simdjson::SUCCESS || !document.is_object()) return Error<Failure>(Failure::kInvalid);
  MetadataValue* root = make_value(arena);
  if (root == nullptr || !copy_value(document.value_unsafe(), arena, *root)) return Error<Failure>(Failure::kNoMemory);
  return root;
}

std::string_view write_number(double number, std::span<char, kMaxNumberBytes> out) {
  constexpr double kWhole = 9'007'199'254'740'992.0;  // 2^53: beyond it, not every whole number is a double
  char* end = out.data() + out.size();
  const auto written = std::abs(number) <= kWhole && std::trunc(number) == number
                           ? std::to_chars(out.data(), end, static_cast<std::int64_t>(number))
                           : std::to_chars(out.data(), end, number);
  return {out.data(), static_cast<std::size_t>(written.ptr - out.data())};
}

std::string_view write_json(const MetadataValue& value, Arena& arena) {
  Sink counter(nullptr);
  put_value(value, counter);
  const std::span<char> memory = arena.make_array<char>(counter.size());
  if (memory.empty()) return {};
  Sink sink(memory.data());
  put_value(value, sink);
  return {memory.data(), memory.size()};
}

void write_json(const MetadataValue& value, TextWriter& out) { put_value(value, out); }

}  // namespace millrace::proxy
