#include "control-agent/runtime_values.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "control-agent/loader.h"
#include "control-agent/to_json.h"
#include "control-agent/translate_common.h"
#include "envoy/type/v3/percent.pb.h"

namespace millrace::agent {
namespace {

using envoy::type::v3::FractionalPercent;
using google::protobuf::Struct;
using google::protobuf::Value;

constexpr std::string_view kListenerPrefix = "envoy.resource_limits.listener.";
constexpr std::string_view kListenerSuffix = ".connection_limit";

bool limits_connections(std::string_view key) {
  return key == kGlobalConnectionLimit || (key.size() > kListenerPrefix.size() + kListenerSuffix.size() &&
                                           key.starts_with(kListenerPrefix) && key.ends_with(kListenerSuffix));
}

std::optional<std::uint64_t> parse_whole(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// What to_json() makes a number of is "32768.0"; here it is "32768".
std::string number_text(double number) {
  constexpr double kLargestWhole = 9e15;
  if (std::abs(number) <= kLargestWhole && std::floor(number) == number) return std::to_string(static_cast<std::int64_t>(number));
  return nlohmann::json(number).dump();
}

// A fraction stands for one value, any other object for a level of keys.
bool is_fraction(const Struct& object) {
  return object.fields().empty() || object.fields().contains("numerator") || object.fields().contains("denominator");
}

void add_entries(const Struct& object, const std::string& prefix, const std::string& path, RuntimeEntries& out,
                 Diagnostics& diagnostics) {
  for (const auto& [name, value] : object.fields()) {
    const std::string key = prefix + name;
    const std::string at = key_path(path, name);
    switch (value.kind_case()) {
      case Value::kStringValue: out[key] = value.string_value(); break;
      case Value::kNumberValue: out[key] = number_text(value.number_value()); break;
      case Value::kBoolValue: out[key] = value.bool_value() ? "true" : "false"; break;
      case Value::kStructValue:
        if (is_fraction(value.struct_value())) {
          out[key] = to_json(value.struct_value()).dump();
        } else {
          add_entries(value.struct_value(), key + ".", at, out, diagnostics);
        }
        break;
      default: diagnostics.error(at, "must be a text, a number, a boolean, a fraction or a structure of them"); break;
    }
    const auto made = out.find(key);
    if (limits_connections(key) && (made == out.end() || !is_runtime_text(key, made->second)))
      diagnostics.error(at, "must be a whole number: of connections");
  }
}

std::optional<config::Fraction> parse_fraction(const std::string& text) {
  FractionalPercent percent;
  SourceMap places;
  Diagnostics unused;
  if (!parse_text(text, "runtime", {}, percent, places, unused) || !unused.ok()) return std::nullopt;
  return translate_fraction(percent);
}

}  // namespace

RuntimeEntries read_runtime_layer(const Struct& layer, const std::string& path, Diagnostics& diagnostics) {
  RuntimeEntries out;
  add_entries(layer, "", path, out, diagnostics);
  return out;
}

bool is_runtime_text(std::string_view key, std::string_view text) { return !limits_connections(key) || parse_whole(text); }

RuntimeValues::RuntimeValues(const std::vector<RuntimeLayer>& layers) {
  for (const RuntimeLayer& layer : layers) {
    for (const auto& [key, text] : layer.entries) entries_.insert_or_assign(key, text);
  }
}

const std::string* RuntimeValues::find(std::string_view key) const {
  const auto at = entries_.find(key);
  return at == entries_.end() || at->second.empty() ? nullptr : &at->second;
}

config::Fraction RuntimeValues::fraction(std::string_view key, config::Fraction otherwise) const {
  constexpr std::uint32_t kHundred = 100;
  const std::string* text = find(key);
  if (text == nullptr) return otherwise;
  if (const auto percent = parse_whole(*text))
    return {static_cast<std::uint32_t>(std::min<std::uint64_t>(*percent, kHundred)), kHundred};
  return parse_fraction(*text).value_or(otherwise);
}

bool RuntimeValues::flag(std::string_view key, bool otherwise) const {
  const std::string* text = find(key);
  if (text == nullptr) return otherwise;
  if (const auto number = parse_whole(*text)) return *number != 0;
  const std::string word = lower(*text);
  return word == "true" || (word != "false" && otherwise);
}

std::optional<std::uint64_t> RuntimeValues::whole_number(std::string_view key) const {
  const std::string* text = find(key);
  return text == nullptr ? std::nullopt : parse_whole(*text);
}

bool RuntimeValues::agrees_with(const RuntimeValues& other, const std::set<std::string>& keys) const {
  return std::ranges::all_of(keys, [&](const std::string& key) {
    const std::string* mine = find(key);
    const std::string* its = other.find(key);
    return mine == its || (mine != nullptr && its != nullptr && *mine == *its);
  });
}

std::string connection_limit_key(const std::string& listener) {
  return std::string(kListenerPrefix) + listener + std::string(kListenerSuffix);
}

}  // namespace millrace::agent
