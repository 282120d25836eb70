// What responses bring into the world.
#include <algorithm>
#include <iterator>
#include <type_traits>
#include <utility>

#include "control-agent/tls_secrets.h"
#include "control-agent/xds/xds_client.h"

namespace millrace::agent {

void XdsClient::bring(ResourceType type, const std::string& source, XdsResponse& response, XdsReport& report,
                      Rejection& rejection, Instant now) {
  switch (type) {
    case ResourceType::kCluster:
      return bring_all<ClusterMessage>(&Resources::clusters, type, source, response, report, rejection, now);
    case ResourceType::kListener:
      return bring_all<ListenerMessage>(&Resources::listeners, type, source, response, report, rejection, now);
    case ResourceType::kAssignment:
      return bring_named<AssignmentMessage>(&Resources::assignments, type, source, response, report, rejection);
    case ResourceType::kRoutes: return bring_named<RouteMessage>(&Resources::routes, type, source, response, report, rejection);
    case ResourceType::kExtension:
      return bring_named<ExtensionMessage>(&Resources::extensions, type, source, response, report, rejection);
    case ResourceType::kRuntime:
      return bring_named<RuntimeMessage>(&Resources::runtimes, type, source, response, report, rejection);
    case ResourceType::kScope: return bring_scopes(source, response, report, rejection);
    case ResourceType::kSecret: return bring_secrets(source, response, report, rejection);
  }
}

namespace {

/// Does `error` concern the resource that stands at `path`?
bool concerns(const ConfigError& error, const std::string& path) {
  return error.path.starts_with(path) && (error.path.size() == path.size() || error.path[path.size()] == '.');
}

/// Applies `edit(resources, good)`; resources that are to blame for an error are taken out, until the rest is good or nobody in
/// the response is to blame.
template <typename Message, typename Edit>
void apply_good(SnapshotPublisher::Batch& batch, std::vector<ResourcePtr<Message>> good, Edit&& edit, XdsReport& report,
                Rejection& rejection) {
  while (true) {
    auto outcome = batch.apply([&](Resources& resources) { edit(resources, good); });
    report.warnings.insert(report.warnings.end(), outcome.warnings.begin(), outcome.warnings.end());
    if (outcome.errors.empty()) return;
    rejection.add(outcome.errors);
    const auto blamed = std::erase_if(good, [&](const ResourcePtr<Message>& resource) {
      std::vector<ConfigError> own;
      std::ranges::copy_if(outcome.errors, std::back_inserter(own),
                           [&](const ConfigError& error) { return concerns(error, resource->path()); });
      if (!own.empty()) rejection.blame(resource->name, refused_update<Message>(resource, to_text(own)));
      return !own.empty();
    });
    if (blamed > 0) continue;
    for (const ResourcePtr<Message>& resource : good)
      rejection.blame(resource->name, refused_update<Message>(resource, to_text(outcome.errors)));
    return;
  }
}

}  // namespace

// Clusters and listeners: everything that there is, of which state of the world leaves out what is gone.
template <typename Message>
void XdsClient::bring_all(NamedResources<Message> Resources::* table, ResourceType type, const std::string& source,
                          XdsResponse& response, XdsReport& report, Rejection& rejection, Instant now) {
  around_.publisher.update([&](Batch& batch) {
    const auto& before = batch.resources().*table;
    auto in = take_in<Message>(response, source, [&](const std::string& name) { return find_resource(before, name); }, rejection);
    // With state of the world, what cannot be read would else count as removed.
    if (in.is_ambiguous || (in.has_nameless && !response.is_delta)) return;
    report.warnings = std::move(in.warnings);
    report.unknown_fields = in.unknown_fields;
    std::set<std::string> gone(response.removed.begin(), response.removed.end());
    for (const auto& [name, resource] : before) {
      if (!response.is_delta && !resource->origin().is_static && resource->origin().source == source && !in.names.contains(name))
        gone.insert(name);
    }
    std::erase_if(gone, [&](const std::string& name) {
      const auto known = find_resource(before, name);
      return known == nullptr || known->origin().is_static || known->origin().source != source;
    });
    if (!response.is_delta) report.removed = gone.size();
    if (type == ResourceType::kCluster) {
      for (const std::string& name : in.names) departing_clusters_.erase(name);
      for (const std::string& name : gone) departing_clusters_.try_emplace(name, now + kClusterFarewell);
      gone.clear();
    }
    apply_good<Message>(
        batch, std::move(in.good),
        [&](Resources& resources, const std::vector<ResourcePtr<Message>>& good) {
          for (const std::string& name : gone) (resources.*table).erase(name);
          for (const ResourcePtr<Message>& resource : good) {
            const auto known = find_resource(resources.*table, resource->name);
            if (known == resource || (known != nullptr && known->origin().is_static))
              continue;  // the bootstrap's are not replaced
            (resources.*table).set(resource->name, resource);
          }
        },
        report, rejection);
  });
}

// What is asked for by name. What a response leaves out, or says is removed, stays as long as somebody needs it, as in Envoy, but
// for what something else stands behind: defaults behind configurations of extensions, other layers behind those of the runtime.
// What never was there is known not to be.
template <typename Message>
void XdsClient::bring_named(KeyedResources<Message> Resources::* table, ResourceType type, const std::string& source,
                            XdsResponse& response, XdsReport& report, Rejection& rejection) {
  const auto& wanted = wanted_[{type, source}].names;
  around_.publisher.update([&](Batch& batch) {
    const auto& before = batch.resources().*table;
    const auto share = [&](const SharedName& name) {
      const auto* known = wanted.find(name);
      return known == nullptr ? name : known->first;
    };
    auto in = take_in<Message>(
        response, source, [&](const std::string& name) { return find_resource(before, ResourceKey{source, name}); }, share,
        rejection);
    if (in.is_ambiguous) return;
    report.warnings = std::move(in.warnings);
    report.unknown_fields = in.unknown_fields;
    std::erase_if(in.good, [&](const ResourcePtr<Message>& resource) { return !wanted.contains(resource->name); });
    apply_good<Message>(
        batch, std::move(in.good),
        [&](Resources& resources, const std::vector<ResourcePtr<Message>>& good) {
          for (const ResourcePtr<Message>& resource : good) (resources.*table).set({source, resource->name}, resource);
          for (const std::string& name : response.removed) {
            if (!wanted.contains(name)) continue;
            constexpr bool kGoes = std::is_same_v<Message, ExtensionMessage> || std::is_same_v<Message, RuntimeMessage>;
            kGoes ? (resources.*table).set({source, name}, nullptr) : (resources.*table).add({source, name}, nullptr);
          }
          // Of those that are rejected too: nobody waits for them any longer.
          for (const std::string& name : in.names) {
            if (wanted.contains(name)) (resources.*table).add({source, name}, nullptr);
          }
        },
        report, rejection);
  });
}

// Of a source all that there are, as of listeners, but its own.
void XdsClient::bring_scopes(const std::string& source, XdsResponse& response, XdsReport& report, Rejection& rejection) {
  around_.publisher.update([&](Batch& batch) {
    const auto& before = batch.resources().scopes;
    auto in = take_in<ScopeMessage>(
        response, source, [&](const std::string& name) { return find_resource(before, ResourceKey{source, name}); }, rejection);
    report.warnings = std::move(in.warnings);
    report.unknown_fields = in.unknown_fields;
    const bool is_usable = !in.is_ambiguous && (!in.has_nameless || response.is_delta);
    std::set<std::string> gone(response.removed.begin(), response.removed.end());
    for (const auto& [key, scope] : before) {
      if (!response.is_delta && key.source == source && !in.names.contains(key.name)) gone.insert(key.name);
    }
    if (!is_usable) gone.clear();
    if (!response.is_delta) report.removed = gone.size();
    apply_good<ScopeMessage>(
        batch, is_usable ? std::move(in.good) : std::vector<ResourcePtr<ScopeMessage>>(),
        [&](Resources& resources, const std::vector<ResourcePtr<ScopeMessage>>& good) {
          for (const std::string& name : gone) resources.scopes.erase(ResourceKey{source, name});
          for (const ResourcePtr<ScopeMessage>& scope : good) resources.scopes.set({source, scope->name}, scope);
          resources.known_scopes.insert(source);
        },
        report, rejection);
  });
}

// A secret is good when every context that needs it can be made of it.
void XdsClient::bring_secrets(const std::string& source, XdsResponse& response, XdsReport& report, Rejection& rejection) {
  const auto none = [](const std::string&) { return ResourcePtr<SecretMessage>(); };
  const auto in = take_in<SecretMessage>(response, source, none, rejection);
  if (in.is_ambiguous) return;
  report.warnings = in.warnings;
  report.unknown_fields = in.unknown_fields;
  for (const ResourcePtr<SecretMessage>& resource : in.good) {
    const SecretName name{source, resource->name};
    auto before = around_.discovered.replace(name, as_message(*resource));
    Rejection own;
    for (const SecretChange& change : around_.secrets.refresh({name})) {
      if (change.error.empty()) continue;
      own.add(change.error);
      rejection.add(change.error);
    }
    if (own.empty()) {
      note_secret(name, resource);
      continue;
    }
    rejection.blame(name.name, refused_update<SecretMessage>(resource, own.text()));
    around_.discovered.replace(name, std::move(before));
    around_.secrets.refresh({name});
  }
  for (const std::string& name : response.removed) {
    if (around_.discovered.find({source, name}) == nullptr) around_.discovered.give_up({source, name});
  }
  // Whoever waits for them may serve now.
  around_.publisher.update([](Batch& batch) { (void)batch.apply([](Resources&) {}); });
}

// What was refused before and is good now, or gone, is no error any more.
void XdsClient::note_refused(ResourceType type, const std::string& source, const XdsResponse& response,
                             const Rejection& rejection) {
  const bool is_wildcard = type == ResourceType::kCluster || type == ResourceType::kListener;
  const auto& wanted = wanted_[{type, source}].names;
  const std::set<std::string> removed(response.removed.begin(), response.removed.end());
  const std::lock_guard lock(mutex_);
  std::erase_if(refused_, [&](const auto& entry) {
    const RefusedKey& key = entry.first;
    if (key.type != type || key.source != source) return false;
    if (removed.contains(key.name)) return true;
    return rejection.judged() && (rejection.judged()->contains(key.name) || (is_wildcard && !response.is_delta));
  });
  for (const auto& [name, update] : rejection.refused()) {
    if (is_wildcard || wanted.contains(name)) refused_[{type, source, name}] = update;
  }
}

void XdsClient::note_secret(const SecretName& name, const ResourcePtr<SecretMessage>& secret) {
  const std::lock_guard lock(mutex_);
  if (const auto known = secrets_.find(name); known != secrets_.end()) known->second = secret;
}

void XdsClient::follow_secrets() {
  const std::set<SecretName> wanted = around_.secrets.wanted();
  const std::lock_guard lock(mutex_);
  std::erase_if(secrets_, [&](const auto& entry) { return !wanted.contains(entry.first); });
  for (const SecretName& name : wanted) secrets_.try_emplace(name);
}

void XdsClient::note_lifetimes(ResourceType type, const std::string& source, const XdsResponse& response, Instant now) {
  for (const XdsResource& resource : response.resources) {
    if (resource.name.empty()) continue;
    const auto key = std::pair(SubscriptionKey{type, source}, resource.name.text());
    if (resource.ttl) {
      lifetimes_[key] = now + *resource.ttl;
    } else if (resource.has_body) {
      lifetimes_.erase(key);
    }
  }
  for (const std::string& name : response.removed) lifetimes_.erase({{type, source}, name});
}

}  // namespace millrace::agent
