#include "tests/control_plane/snapshot.h"

#include <utility>

namespace millrace::test {
namespace {

bool same_content(const Resource& a, const Resource& b) {
  return a.body && b.body && a.body->type_url() == b.body->type_url() && a.body->value() == b.body->value();
}

/// `before`: what the type held.
void put(TypeState& state, const std::map<std::string, Resource>& before, Resource resource, bool touch) {
  if (resource.version.empty()) {
    const auto old = before.find(resource.name);
    const bool keeps = !touch && old != before.end() && same_content(old->second, resource);
    resource.version = keeps ? old->second.version : state.version;
  }
  std::string name = resource.name;
  state.resources.insert_or_assign(std::move(name), std::move(resource));
}

}  // namespace

TypeState& Snapshot::begin(const std::string& type_url, const std::string& version) {
  TypeState& state = types_[type_url];
  state.version = version;
  state.generation = ++generations_;
  return state;
}

void Snapshot::replace(const std::string& type_url, const std::string& version, std::vector<Resource> resources, bool touch) {
  TypeState& state = begin(type_url, version);
  const std::map<std::string, Resource> before = std::exchange(state.resources, {});
  for (Resource& resource : resources) put(state, before, std::move(resource), touch);
}

void Snapshot::update(const std::string& type_url, const std::string& version, std::vector<Resource> resources,
                      const std::vector<std::string>& removed, bool touch) {
  TypeState& state = begin(type_url, version);
  for (Resource& resource : resources) put(state, state.resources, std::move(resource), touch);
  for (const std::string& name : removed) state.resources.erase(name);
}

const TypeState* Snapshot::find(const std::string& type_url) const {
  const auto found = types_.find(type_url);
  return found == types_.end() ? nullptr : &found->second;
}

}  // namespace millrace::test
