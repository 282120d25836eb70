// The template of intake.h.
#pragma once

#include <memory>
#include <utility>

#include "control-agent/discovery/discovery_file.h"
#include "control-agent/field_table.h"
#include "control-agent/validate_rules.h"

namespace millrace::agent {

template <typename Message, typename Known, typename Share>
Intake<Message> take_in(const XdsResponse& response, const std::string& source, Known&& known, Share&& share,
                        Rejection& rejection) {
  Intake<Message> out;
  const auto now = std::chrono::system_clock::now();
  std::shared_ptr<const ResourceOrigin> origin;  // of those that have the same version
  for (const XdsResource& resource : response.resources) {
    if (!resource.has_body) {
      out.names.insert(resource.name);
      continue;
    }
    Message message;
    if (!resource.body.template Is<Message>() || !resource.body.UnpackTo(&message)) {
      out.has_nameless = out.has_nameless || resource.name.empty();
      const std::string reason = "a resource" + (resource.name.empty() ? "" : " \"" + resource.name.text() + "\"") +
                                 " of the type \"" + resource.body.type_url() + "\" cannot be read as a " +
                                 Message::descriptor()->full_name();
      rejection.add(reason);
      if (resource.name.empty()) continue;
      out.names.insert(resource.name);
      rejection.blame(resource.name, {.version = resource.version.empty() ? response.version : resource.version,
                                      .attempted = now,
                                      .details = reason,
                                      .content = nullptr});
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
    const std::string& version = resource.version.empty() ? response.version : resource.version;
    if (origin == nullptr || origin->version != version) {
      origin = std::make_shared<const ResourceOrigin>(ResourceOrigin{
          .path = {}, .places = nullptr, .source = source, .version = version, .updated = now, .is_static = false});
    }
    auto made = std::make_shared<const Resource<Message>>(
        message, share(resource.name == name ? resource.name : SharedName(name)), origin);
    if (const ResourcePtr<Message> before = known(name); before != nullptr && before->content_hash == made->content_hash) {
      out.good.push_back(before);  // checked when it came first
      continue;
    }
    Diagnostics found;
    validate_rules(message, made->path(), found);
    check_fields(message, made->path(), found);
    for (const ConfigError& unknown : found.unknown_fields()) {
      rejection.is_of_unknown_fields() ? found.error(unknown.path, unknown.reason)
                                       : found.warning(unknown.path, unknown.reason + "; they have no effect");
    }
    if (found.ok()) {
      out.unknown_fields += found.unknown_fields().size();
      out.warnings.insert(out.warnings.end(), found.warnings().begin(), found.warnings().end());
      out.good.push_back(std::move(made));
    } else {
      rejection.add(found.errors());
      rejection.blame(name, refused_update<Message>(made, to_text(found.errors())));
    }
  }
  if (!out.is_ambiguous && !out.has_nameless) rejection.judge(out.names);
  return out;
}

}  // namespace millrace::agent
