#include "control-agent/admin/runtime_layers.h"

#include <google/protobuf/struct.pb.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "control-agent/to_json.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

// What to_json() makes a number of is "32768.0"; here it is "32768".
std::string number_text(double number) {
  const auto whole = static_cast<std::int64_t>(number);
  return static_cast<double>(whole) == number ? std::to_string(whole) : nlohmann::json(number).dump();
}

// A fraction stands for one value, any other object for a level of keys.
bool is_fraction(const Struct& object) {
  return std::ranges::all_of(object.fields(),
                             [](const auto& field) { return field.first == "numerator" || field.first == "denominator"; });
}

void add_values(const Struct& object, const std::string& prefix, std::map<std::string, std::string>& out) {
  for (const auto& [name, value] : object.fields()) {
    const std::string key = prefix + name;
    switch (value.kind_case()) {
      case Value::kStringValue: out[key] = value.string_value(); break;
      case Value::kNumberValue: out[key] = number_text(value.number_value()); break;
      case Value::kBoolValue: out[key] = value.bool_value() ? "true" : "false"; break;
      case Value::kStructValue:
        if (is_fraction(value.struct_value())) {
          out[key] = to_json(value.struct_value()).dump();
        } else {
          add_values(value.struct_value(), key + ".", out);
        }
        break;
      default: break;  // Envoy knows no lists and no null there either
    }
  }
}

// What translate_overload.h reads of static layers when the gateway starts.
bool is_read_at_start(std::string_view key) {
  return key == "overload.global_downstream_max_connections" ||
         (key.starts_with("envoy.resource_limits.listener.") && key.ends_with(".connection_limit"));
}

}  // namespace

RuntimeLayers::RuntimeLayers(const envoy::config::bootstrap::v3::LayeredRuntime& runtime) {
  for (const auto& given : runtime.layers()) {
    if (given.has_admin_layer()) admin_ = layers_.size();
    add_values(given.static_layer(), "", layers_.emplace_back(given.name(), std::map<std::string, std::string>()).values);
  }
  if (!layers_.empty()) return;
  layers_.emplace_back();
  admin_ = 0;
}

nlohmann::ordered_json RuntimeLayers::to_json() const {
  const std::scoped_lock lock(mutex_);
  nlohmann::ordered_json names = nlohmann::ordered_json::array();
  std::set<std::string> keys;
  for (const Layer& layer : layers_) {
    names.push_back(layer.name);
    for (const auto& [key, value] : layer.values) keys.insert(key);
  }
  nlohmann::ordered_json entries = nlohmann::ordered_json::object();
  for (const std::string& key : keys) {
    std::string final_value;
    nlohmann::ordered_json values = nlohmann::ordered_json::array();
    for (const Layer& layer : layers_) {
      const auto at = layer.values.find(key);
      values.push_back(at == layer.values.end() ? "" : at->second);
      if (at != layer.values.end() && !at->second.empty()) final_value = at->second;
    }
    entries[key] = {{"final_value", final_value}, {"layer_values", values}};
  }
  return {{"layers", names}, {"entries", entries}};
}

Result<void, std::string> RuntimeLayers::modify(const std::map<std::string, std::string>& values) {
  const std::scoped_lock lock(mutex_);
  if (!admin_) return Error<std::string>("No admin layer specified: give layered_runtime one (admin_layer: {})");
  for (const auto& [key, value] : values) {
    if (is_read_at_start(key))
      return Error<std::string>(key + " is read at the start only: put it into a static_layer and start again");
  }
  for (const auto& [key, value] : values) {
    if (value.empty()) {
      layers_[*admin_].values.erase(key);
    } else {
      layers_[*admin_].values[key] = value;
    }
  }
  return {};
}

}  // namespace millrace::agent
