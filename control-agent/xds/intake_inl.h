// The template of intake.h.
#pragma once

#include <memory>
#include <utility>

#include "control-agent/discovery/discovery_file.h"
#include "control-agent/field_table.h"
#include "control-agent/validate_rules.h"

namespace millrace::agent {

template <typename Message, typename Known>
Intake<Message> take_in(const XdsResponse& response, const std::string& source, Known&& known, Rejection& rejection) {
  Intake<Message> out;
  const auto now = std::chrono::system_clock::now();
  for (const XdsResource& resource : response.resources) {
    if (!resource.has_body) {
      out.names.insert(resource.name);
      continue;
    }
    Message message;
    if (!resource.body.template Is<Message>() || !resource.body.UnpackTo(&message)) {
      out.has_nameless = out.has_nameless || resource.name.empty();
      if (!resource.name.empty()) out.names.insert(resource.name);
      rejection.add("a resource" + (resource.name.empty() ? "" : " \"" + resource.name + "\"") + " of the type \"" +
                    resource.body.type_url() + "\" cannot be read as a " + Message::descriptor()->full_name());
      continue;
    }
    const std::string name = name_of(message);
    if (name.empty()) {
      out.has_nameless = true;
      rejection.add("a " + Message::descriptor()->name() + " has no name: resources are told apart by it");
      continue;
    }
    if (!out.names.insert(name).second) {
      rejection.add(resource_path<Message>(name) + ": the name comes twice in one response, of which nothing is used");
      out.is_ambiguous = true;
      continue;
    }
    ResourceOrigin origin{.path = resource_path<Message>(name),
                          .places = nullptr,
                          .source = source,
                          .version = resource.version.empty() ? response.version : resource.version,
                          .updated = now,
                          .is_static = false};
    auto made = std::make_shared<const Resource<Message>>(std::move(message), std::move(origin));
    if (const ResourcePtr<Message> before = known(name); before != nullptr && before->content_hash == made->content_hash) {
      out.good.push_back(before);  // checked when it came first
      continue;
    }
    Diagnostics found;
    validate_rules(made->message, made->origin.path, found);
    check_fields(made->message, made->origin.path, found);
    if (found.ok()) {
      out.warnings.insert(out.warnings.end(), found.warnings().begin(), found.warnings().end());
      out.good.push_back(std::move(made));
    } else {
      rejection.add(found.errors());
    }
  }
  return out;
}

}  // namespace millrace::agent
