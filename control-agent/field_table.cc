#include "control-agent/field_table.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/wrappers.pb.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "control-agent/loader.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/extension.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "udpa/type/v1/typed_struct.pb.h"
#include "xds/type/v3/typed_struct.pb.h"

namespace millrace::agent {

using envoy::config::cluster::v3::LoadBalancingPolicy;
using envoy::config::route::v3::FilterConfig;
using envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

namespace {

struct Tolerated {
  std::string_view type;
  std::string_view note;
};
constexpr Tolerated kTolerated[] = {
#define MR_TOLERATED(type, note) {type, note},
#include "control-agent/tolerated_types.def"
#undef MR_TOLERATED
};

constexpr int kMaxDepth = 200;

struct Index {
  std::vector<FieldRow> rows;
  std::unordered_map<std::string, const FieldRow*> by_field;
  std::unordered_set<std::string_view> messages;  // those without fields too

  Index() {
    std::string_view message;
#define MR_MESSAGE(name) messages.insert(message = name);
#define MR_ACTS(field, note) rows.push_back({message, #field, FieldStatus::kActs, note});
#define MR_HARMLESS(field, note) rows.push_back({message, #field, FieldStatus::kHarmless, note});
#define MR_REFUSED(field, note) rows.push_back({message, #field, FieldStatus::kRefused, note});
#include "control-agent/field_table.def"
#undef MR_MESSAGE
#undef MR_ACTS
#undef MR_HARMLESS
#undef MR_REFUSED
    for (const auto& row : rows) by_field.emplace(join_path(row.message, row.field), &row);
  }
};

const Index& index() {
  static const Index kIndex;
  return kIndex;
}

constexpr std::string_view kDeciding[] = {
#define MR_DECIDES(type) type,
#include "control-agent/deciding_types.def"
#undef MR_DECIDES
};

std::string_view type_of(std::string_view url) { return url.substr(url.rfind('/') + 1); }

// What the sender's own protobuf does not know comes as a structure, which names its type.
std::string url_of(const google::protobuf::Any& config) {
  if (udpa::type::v1::TypedStruct udpa; config.Is<udpa::type::v1::TypedStruct>() && config.UnpackTo(&udpa))
    return udpa.type_url();
  if (xds::type::v3::TypedStruct xds; config.Is<xds::type::v3::TypedStruct>() && config.UnpackTo(&xds)) return xds.type_url();
  return config.type_url();
}

/// Nothing: it is supported.
std::optional<std::string> unsupported_url(const std::string& type_url) {
  const Descriptor* type = find_any_type(type_url);
  if (type != nullptr && has_message(type->full_name())) return std::nullopt;
  return type_url;
}

/// One that it is, or may become; nothing: all are supported.
std::optional<std::string> unsupported_type(const HttpFilter& filter) {
  if (!filter.has_config_discovery()) return unsupported_url(url_of(filter.typed_config()));
  for (const std::string& url : filter.config_discovery().type_urls()) {
    if (auto unsupported = unsupported_url(url)) return unsupported;
  }
  return std::nullopt;
}

class FieldWalk {
 public:
  explicit FieldWalk(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  void message(const Message& message, const std::string& path) {
    if (diagnostics_.full() || depth_ >= kMaxDepth) return;
    if (message.GetDescriptor() == HttpFilter::descriptor()) {
      const auto& filter = static_cast<const HttpFilter&>(message);
      if (filter.is_optional() && skip_filter(unsupported_type(filter), path)) return;
    } else if (message.GetDescriptor() == FilterConfig::descriptor()) {
      const auto& filter = static_cast<const FilterConfig&>(message);
      if (filter.is_optional() && skip_filter(unsupported_url(filter.config().type_url()), path)) return;
    } else if (message.GetDescriptor() == LoadBalancingPolicy::descriptor()) {
      return first_policy(static_cast<const LoadBalancingPolicy&>(message), path);
    }
    unknown_fields(message, path);
    ++depth_;
    std::vector<const FieldDescriptor*> fields;
    message.GetReflection()->ListFields(message, &fields);
    for (const auto* set : fields) field(message, *set, join_path(path, set->name()));
    --depth_;
  }

 private:
  void unknown_fields(const Message& message, const std::string& path) {
    const auto& unknown = message.GetReflection()->GetUnknownFields(message);
    if (unknown.empty()) return;
    std::vector<int> numbers;
    for (int i = 0; i < unknown.field_count(); ++i) numbers.push_back(unknown.field(i).number());
    diagnostics_.unknown_fields(path, numbers);
  }

  bool skip_filter(const std::optional<std::string>& unsupported_type, const std::string& path) {
    if (!unsupported_type) return false;
    if (std::ranges::find(kDeciding, type_of(*unsupported_type)) != std::end(kDeciding)) {
      diagnostics_.error(path, "is optional, but cannot be left out: it decides which requests are answered, and " +
                                   unsupported(*unsupported_type) + " yet");
      return true;
    }
    diagnostics_.warning(path, "the filter is left out, as it is optional: " + unsupported(*unsupported_type));
    return true;
  }

  // Of a list of load-balancing policies the first that is known counts: the others are not looked at, as in Envoy.
  void first_policy(const LoadBalancingPolicy& list, const std::string& path) {
    const std::string policies = join_path(path, "policies");
    std::string types;
    for (int i = 0; i < list.policies_size(); ++i) {
      const std::string& url = list.policies(i).typed_extension_config().typed_config().type_url();
      const Descriptor* type = find_any_type(url);
      if (type != nullptr && has_message(type->full_name())) {
        return this->message(list.policies(i), index_path(policies, static_cast<std::size_t>(i)));
      }
      types += (i > 0 ? ", \"" : "\"") + url + "\"";
    }
    diagnostics_.error(policies, "must hold a policy of a supported type" + (types.empty() ? "" : ", not only " + types));
  }

  static std::string unsupported(const std::string& type_url) { return "the type \"" + type_url + "\" is not supported"; }

  void field(const Message& owner, const FieldDescriptor& field, const std::string& path) {
    const FieldRow* row = find_row(owner.GetDescriptor()->full_name(), field.name());
    if (row == nullptr) return diagnostics_.error(path, "is not supported: unknown to Millrace");
    if (row->status == FieldStatus::kHarmless) return diagnostics_.harmless(path, std::string(row->note));
    if (row->status == FieldStatus::kRefused) {
      if (!says_false(owner, field)) diagnostics_.error(path, refusal_text(row->note));
      return;
    }
    if (field.message_type() == nullptr) return;
    const auto& reflection = *owner.GetReflection();
    if (!field.is_repeated()) return content(reflection.GetMessage(owner, &field), path);
    for (int i = 0; i < reflection.FieldSize(owner, &field); ++i) {
      const Message& element = reflection.GetRepeatedMessage(owner, &field, i);
      if (!field.is_map()) {
        content(element, index_path(path, static_cast<std::size_t>(i)));
      } else if (const auto* value = field.message_type()->map_value(); value->message_type() != nullptr) {
        const auto key = element.GetReflection()->GetString(element, field.message_type()->map_key());
        content(element.GetReflection()->GetMessage(element, value), key_path(path, key));
      }
    }
  }

  void content(const Message& message, const std::string& path) {
    switch (message.GetDescriptor()->well_known_type()) {
      case Descriptor::WELLKNOWNTYPE_UNSPECIFIED: return this->message(message, path);
      case Descriptor::WELLKNOWNTYPE_ANY: return any(static_cast<const google::protobuf::Any&>(message), path);
      default: return;
    }
  }

  void any(const google::protobuf::Any& any, const std::string& path) {
    if (const std::string_view note = tolerated(any); !note.empty()) return diagnostics_.harmless(path, std::string(note));
    const Descriptor* type = find_any_type(any.type_url());
    if (type == nullptr || !has_message(type->full_name())) {
      const bool comes_later = type != nullptr && type->full_name().starts_with("envoy.");
      return diagnostics_.error(path, unsupported(any.type_url()) + (comes_later ? " yet" : ""));
    }
    const std::unique_ptr<Message> content(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
    if (!content->ParsePartialFromString(any.value())) {
      return diagnostics_.error(path, "does not hold a valid " + type->full_name());
    }
    message(*content, path);
  }

  static bool says_false(const Message& owner, const FieldDescriptor& field) {
    if (field.is_repeated()) return false;
    const auto& reflection = *owner.GetReflection();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL) return !reflection.GetBool(owner, &field);
    if (field.message_type() != google::protobuf::BoolValue::descriptor()) return false;
    return !static_cast<const google::protobuf::BoolValue&>(reflection.GetMessage(owner, &field)).value();
  }

  static std::string refusal_text(std::string_view note) {
    std::string text = "is not supported";
    if (!note.starts_with(':')) text += ' ';
    text += note;
    return text;
  }

  Diagnostics& diagnostics_;
  int depth_ = 0;
};

}  // namespace

std::span<const FieldRow> field_table() { return index().rows; }

const FieldRow* find_row(std::string_view message, std::string_view field) {
  const auto at = index().by_field.find(join_path(message, field));
  return at == index().by_field.end() ? nullptr : at->second;
}

bool is_left_out(const HttpFilter& filter) { return filter.is_optional() && unsupported_type(filter); }

std::string_view tolerated(const google::protobuf::Any& config) {
  const std::string url = url_of(config);
  const std::string_view type = type_of(url);
  for (const auto& [name, note] : kTolerated) {
    if (name == type) return note;
  }
  return {};
}

bool has_message(std::string_view message) { return index().messages.contains(message); }

void check_fields(const Message& message, const std::string& path, Diagnostics& diagnostics) {
  FieldWalk(diagnostics).message(message, path);
}

std::string field_table_markdown() {
  static constexpr std::string_view kStatus[] = {"acts", "harmless", "refused"};
  std::string out;
  std::string_view message;
  for (const auto& row : field_table()) {
    if (row.message != message) {
      message = row.message;
      out += "\n### " + std::string(message) + "\n\n| field | status | note |\n|---|---|---|\n";
    }
    std::string note(row.note);
    if (note.starts_with(": ")) note.erase(0, 2);
    if (note.starts_with("yet")) note = "not " + note;
    out += "| " + std::string(row.field) + " | " + std::string(kStatus[static_cast<std::size_t>(row.status)]) + " | " + note +
           " |\n";
  }
  out += "\n### Extensions that are accepted and left out\n\n| type of the configuration | note |\n|---|---|\n";
  for (const auto& [type, note] : kTolerated) out += "| " + std::string(type) + " | " + std::string(note) + " |\n";
  return out;
}

}  // namespace millrace::agent
