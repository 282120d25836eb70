#include "control-agent/translate_subsets.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

namespace millrace::agent {

using envoy::config::cluster::v3::Cluster;
using envoy::config::core::v3::Metadata;
using google::protobuf::Struct;
using google::protobuf::Value;

namespace {

// Each text with its length, so that no two values read alike.
std::string canonical(const Value& value) {
  const auto text = [](const std::string& bytes) { return std::to_string(bytes.size()) + ":" + bytes; };
  switch (value.kind_case()) {
    case Value::kStringValue: return "s" + text(value.string_value());
    case Value::kBoolValue: return value.bool_value() ? "true" : "false";
    case Value::kNumberValue: {
      char number[32];
      return std::string(number, static_cast<std::size_t>(std::snprintf(number, sizeof number, "n%.17g", value.number_value())));
    }
    case Value::kListValue: {
      std::string out = "[";
      for (const Value& element : value.list_value().values()) out += canonical(element) + ",";
      return out + "]";
    }
    case Value::kStructValue: {
      std::string out = "{";
      const std::map<std::string, Value> fields(value.struct_value().fields().begin(), value.struct_value().fields().end());
      for (const auto& [key, field] : fields) out += text(key) + canonical(field) + ",";
      return out + "}";
    }
    default: return "null";
  }
}

const Struct& lb_values(const Metadata& metadata) {
  const auto values = metadata.filter_metadata().find("envoy.lb");
  return values == metadata.filter_metadata().end() ? Struct::default_instance() : values->second;
}

config::MetadataMatch match_of(const std::map<std::string, std::string>& values) {
  config::MetadataMatch out;
  for (const auto& [key, value] : values) out.push_back({key, value});
  return out;
}

std::vector<std::string> sorted(const google::protobuf::RepeatedPtrField<std::string>& names) {
  std::vector<std::string> out(names.begin(), names.end());
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

template <typename Selector>
config::SubsetSelector translate_selector(const Selector& source, const std::string& path, Diagnostics& diagnostics) {
  config::SubsetSelector out{.keys = sorted(source.keys())};
  switch (source.fallback_policy()) {
    case Selector::NO_FALLBACK: out.fallback = config::SubsetFallback::kNone; break;
    case Selector::ANY_ENDPOINT: out.fallback = config::SubsetFallback::kAnyEndpoint; break;
    case Selector::DEFAULT_SUBSET: out.fallback = config::SubsetFallback::kDefaultSubset; break;
    case Selector::KEYS_SUBSET: out.fallback = config::SubsetFallback::kKeysSubset; break;
    default: break;
  }
  out.fallback_keys = sorted(source.fallback_keys_subset());
  const std::string keys_path = join_path(path, "fallback_keys_subset");
  const bool by_keys = out.fallback == config::SubsetFallback::kKeysSubset;
  if (by_keys == out.fallback_keys.empty()) {
    diagnostics.error(keys_path, by_keys ? "must not be empty when fallback_policy is KEYS_SUBSET"
                                         : "can be set only when fallback_policy is KEYS_SUBSET");
  } else if (!std::ranges::includes(out.keys, out.fallback_keys)) {
    diagnostics.error(keys_path, "must name some of the selector's keys");
  } else if (by_keys && out.fallback_keys.size() == out.keys.size()) {
    diagnostics.error(keys_path, "must not be all of the selector's keys");
  }
  return out;
}

template <typename Config>
std::shared_ptr<config::Subsets> translate(const Config& source, const std::string& path, Diagnostics& diagnostics) {
  if (source.metadata_fallback_policy() == Config::FALLBACK_LIST) {
    diagnostics.error(join_path(path, "metadata_fallback_policy"),
                      "FALLBACK_LIST is not supported yet: use the fallback policies of selectors");
  }
  if (source.subset_selectors().empty()) return nullptr;
  auto out = std::make_shared<config::Subsets>();
  for (int i = 0; i < source.subset_selectors_size(); ++i) {
    out->selectors.push_back(translate_selector(
        source.subset_selectors(i), index_path(join_path(path, "subset_selectors"), static_cast<std::size_t>(i)), diagnostics));
  }
  if (source.fallback_policy() == Config::ANY_ENDPOINT) out->fallback = config::SubsetFallback::kAnyEndpoint;
  if (source.fallback_policy() == Config::DEFAULT_SUBSET) out->fallback = config::SubsetFallback::kDefaultSubset;
  std::map<std::string, std::string> wanted;
  for (const auto& [key, value] : source.default_subset().fields()) wanted.emplace(key, canonical(value));
  out->default_subset.match = match_of(wanted);
  out->panic_mode_any = source.panic_mode_any();
  out->locality_weight_aware = source.locality_weight_aware();
  out->scale_locality_weight = source.scale_locality_weight();
  return out;
}

}  // namespace

std::shared_ptr<config::Subsets> translate_subsets(const Cluster::LbSubsetConfig& config, const std::string& path,
                                                   Diagnostics& diagnostics) {
  return translate(config, path, diagnostics);
}

std::shared_ptr<config::Subsets> translate_subsets(const SubsetPolicy& config, const std::string& path,
                                                   Diagnostics& diagnostics) {
  return translate(config, path, diagnostics);
}

config::EndpointMetadata translate_endpoint_metadata(const Metadata& metadata, bool list_as_any) {
  config::EndpointMetadata out;
  for (const auto& [key, value] : lb_values(metadata).fields()) {
    auto& values = out[key];
    if (!list_as_any || value.kind_case() != Value::kListValue) {
      values.push_back(canonical(value));
      continue;
    }
    for (const Value& element : value.list_value().values()) values.push_back(canonical(element));
  }
  return out;
}

std::shared_ptr<const config::MetadataMatch> translate_metadata_match(const Metadata& route, const Metadata& cluster) {
  std::map<std::string, std::string> values;
  for (const Metadata* metadata : {&route, &cluster}) {
    for (const auto& [key, value] : lb_values(*metadata).fields()) values.insert_or_assign(key, canonical(value));
  }
  return values.empty() ? nullptr : std::make_shared<const config::MetadataMatch>(match_of(values));
}

}  // namespace millrace::agent
