#include "control-agent/discovery/discovery_file.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "control-agent/field_table.h"
#include "control-agent/loader.h"
#include "control-agent/validate_rules.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace millrace::agent {
namespace {

using envoy::service::discovery::v3::DiscoveryResponse;

const char* name_field(const AssignmentMessage&) { return "cluster_name"; }
template <typename Message>
const char* name_field(const Message&) {
  return "name";
}

std::string quote(const std::string& text) { return "\"" + text + "\""; }

/// The resources of `response`; what is wrong with them goes to `found`.
template <typename Message>
std::vector<ResourcePtr<Message>> unpack_all(const DiscoveryResponse& response, const ResourceOrigin& origin,
                                             Diagnostics& found) {
  std::vector<ResourcePtr<Message>> out;
  std::map<std::string, std::string> owners;
  for (int i = 0; i < response.resources_size(); ++i) {
    const auto& any = response.resources(i);
    const std::string at = index_path("resources", static_cast<std::size_t>(i));
    Message message;
    if (!any.Is<Message>() || !any.UnpackTo(&message)) {
      found.error(at, "must be a " + Message::descriptor()->full_name() + ", is of the type " + quote(any.type_url()));
      continue;
    }
    const std::string name = name_of(message);
    if (name.empty()) {
      found.error(join_path(at, name_field(message)), "must be set: resources are told apart by it");
    } else if (const auto [owner, first] = owners.emplace(name, at); !first) {
      found.error(join_path(at, name_field(message)), "the name " + quote(name) + " is already taken by " + owner->second);
    }
    ResourceOrigin own = origin;
    own.path = at;
    out.push_back(std::make_shared<const Resource<Message>>(std::move(message), std::move(own)));
  }
  return out;
}

template <typename Message>
void check_names(const std::vector<ResourcePtr<Message>>& resources, const std::set<std::string>& names, Diagnostics& found) {
  for (const std::string& name : names) {
    if (std::ranges::any_of(resources, [&](const auto& resource) { return resource->name == name; })) continue;
    std::string others;
    for (const auto& resource : resources) others += (others.empty() ? "; they hold " : ", ") + quote(resource->name);
    found.error("resources", "hold no " + Message::descriptor()->name() + " " + quote(name) + ", which is asked for" + others);
  }
}

}  // namespace

template <typename Message>
DiscoveryFile<Message> read_discovery_file(const std::string& path, const std::set<std::string>& names) {
  DiscoveryFile<Message> out;
  const auto places = std::make_shared<SourceMap>();
  Diagnostics found(places.get());
  DiscoveryResponse response;
  out.readable = parse_file(path, {}, response, *places, found);
  if (out.readable) {
    validate_rules(response, {}, found);
    check_fields(response, {}, found);
    out.version = response.version_info();
    out.resources = unpack_all<Message>(response,
                                        {.path = {},
                                         .places = places,
                                         .source = path,
                                         .version = response.version_info(),
                                         .updated = std::chrono::system_clock::now()},
                                        found);
    check_names(out.resources, names, found);
  }
  out.errors = found.errors();
  out.warnings = found.warnings();
  return out;
}

template DiscoveryFile<ClusterMessage> read_discovery_file(const std::string&, const std::set<std::string>&);
template DiscoveryFile<ListenerMessage> read_discovery_file(const std::string&, const std::set<std::string>&);
template DiscoveryFile<RouteMessage> read_discovery_file(const std::string&, const std::set<std::string>&);
template DiscoveryFile<ExtensionMessage> read_discovery_file(const std::string&, const std::set<std::string>&);
template DiscoveryFile<RuntimeMessage> read_discovery_file(const std::string&, const std::set<std::string>&);
template DiscoveryFile<ScopeMessage> read_discovery_file(const std::string&, const std::set<std::string>&);
template DiscoveryFile<AssignmentMessage> read_discovery_file(const std::string&, const std::set<std::string>&);

}  // namespace millrace::agent
