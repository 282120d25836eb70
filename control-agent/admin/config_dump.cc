#include "control-agent/admin/config_dump.h"

#include <google/protobuf/util/field_mask_util.h>
#include <re2/re2.h>

#include <memory>
#include <utility>

#include "control-agent/admin/config_sections.h"
#include "control-agent/loader.h"

namespace millrace::agent {
namespace {

using envoy::admin::v3::ConfigDump;
using google::protobuf::Any;
using google::protobuf::FieldDescriptor;
using google::protobuf::FieldMask;
using google::protobuf::Message;
using google::protobuf::util::FieldMaskUtil;

/// Leaves what `mask` names; false: it names what `message` cannot have.
bool trim(const FieldMask& mask, Message& message) {
  for (const std::string& path : mask.paths()) {
    if (!FieldMaskUtil::GetFieldDescriptors(message.GetDescriptor(), path, nullptr)) return false;
  }
  FieldMaskUtil::TrimMessage(mask, &message);
  return true;
}

bool trim_content(const FieldMask& mask, Any& any) {
  const auto* type = find_any_type(any.type_url());
  if (type == nullptr) return false;
  const std::unique_ptr<Message> content(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  if (!any.UnpackTo(content.get()) || !trim(mask, *content)) return false;
  any.PackFrom(*content);
  return true;
}

// A mask cannot reach into an Any: what follows the name of such a field is a mask of its own, for the content.
bool trim_element(const FieldMask& mask, Message& element) {
  const auto* type = element.GetDescriptor();
  FieldMask outer;
  FieldMask inner;
  const FieldDescriptor* content = nullptr;
  for (const std::string& path : mask.paths()) {
    const std::size_t dot = path.find('.');
    const FieldDescriptor* field = type->FindFieldByName(path.substr(0, dot));
    if (field == nullptr || field->is_repeated() || field->message_type() != Any::descriptor()) {
      outer.add_paths(path);
      continue;
    }
    content = field;
    outer.add_paths(field->name());
    if (dot != std::string::npos) inner.add_paths(path.substr(dot + 1));
  }
  const auto* reflection = element.GetReflection();
  if (content != nullptr && inner.paths_size() > 0 && reflection->HasField(element, content)) {
    auto& any = static_cast<Any&>(*reflection->MutableMessage(&element, content));
    if (!trim_content(inner, any)) return false;
  }
  return trim(outer, element);
}

Result<ConfigDump, PageError> dump_resource(std::vector<std::unique_ptr<Message>> sections, const ConfigDumpQuery& query) {
  ConfigDump dump;
  FieldMask mask;
  if (query.mask) FieldMaskUtil::FromString(*query.mask, &mask);
  for (const auto& section : sections) {
    const FieldDescriptor* field = section->GetDescriptor()->FindFieldByName(*query.resource);
    if (field == nullptr) continue;
    if (!field->is_repeated()) {
      return Error<PageError>(
          {400, field->name() + " is not a repeated field. Use ?mask=" + field->name() + " to get only this field"});
    }
    const auto* reflection = section->GetReflection();
    for (int i = 0; i < reflection->FieldSize(*section, field); ++i) {
      Message& element = *reflection->MutableRepeatedMessage(section.get(), field, i);
      if (query.mask && !trim_element(mask, element))
        return Error<PageError>({400, "FieldMask " + mask.DebugString() + " could not be successfully used."});
      dump.add_configs()->PackFrom(element);
    }
    return dump;
  }
  return Error<PageError>({404, *query.resource + " not found in config dump"});
}

Result<ConfigDump, PageError> dump_sections(std::vector<std::unique_ptr<Message>> sections, const ConfigDumpQuery& query) {
  ConfigDump dump;
  FieldMask mask;
  if (query.mask) FieldMaskUtil::FromString(*query.mask, &mask);
  for (const auto& section : sections) {
    // Sections differ in their fields: a mask is for those that have them all.
    if (query.mask && !trim(mask, *section)) continue;
    dump.add_configs()->PackFrom(*section);
  }
  if (dump.configs().empty() && query.mask)
    return Error<PageError>({400, "FieldMask " + *query.mask + " could not be successfully applied to any configs."});
  return dump;
}

}  // namespace

Result<ConfigDump, PageError> config_dump(const GatewayView& gateway, const ConfigDumpQuery& query) {
  const RE2 expression(query.name_regex, RE2::Quiet);
  if (!expression.ok())
    return Error<PageError>({400, "Error while parsing name_regex from " + query.name_regex + ": " + expression.error()});
  const DumpSource source{
      .bootstrap = gateway.bootstrap(),
      .loaded_at = gateway.loaded_at(),
      .dynamic = gateway.dynamic_resources(),
      .snapshot = gateway.snapshot(),
      .wanted = [&](const std::string& name) { return query.name_regex.empty() || RE2::FullMatch(name, expression); }};
  auto sections = config_sections(source, query.include_eds);
  return query.resource ? dump_resource(std::move(sections), query) : dump_sections(std::move(sections), query);
}

envoy::admin::v3::UnreadyTargetsDumps init_dump(const GatewayView& gateway, const std::optional<std::string>& mask) {
  envoy::admin::v3::UnreadyTargetsDumps dump;
  if (mask && *mask != "listener") return dump;
  for (const DynamicResource& listener : gateway.dynamic_resources().listeners) {
    if (listener.state != ResourceState::kWarming) continue;
    auto& entry = *dump.add_unready_targets_dumps();
    entry.set_name(listener.name);
    for (const std::string& target : listener.waits_for) entry.add_target_names(target);
  }
  return dump;
}

}  // namespace millrace::agent
