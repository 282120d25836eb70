// Configurations of HTTP filters that come by name (ECDS): which of them listeners need, and a listener with those of now.
#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include "config/model/listener.h"
#include "control-agent/discovery/resources.h"
#include "control-agent/translate.h"
#include "envoy/config/core/v3/config_source.pb.h"

namespace millrace::agent {

struct ExtensionSource {
  envoy::config::core::v3::ConfigSource source;
  bool is_waited_for = false;  ///< unless it has apply_default_config_without_warming
};

/// Where the HTTP filters of a listener have their configurations from.
using ExtensionSources = std::map<ResourceKey, ExtensionSource>;
[[nodiscard]] ExtensionSources extension_sources(const ListenerMessage& listener);

/// What a listener needs: null where nothing has come, or what had come is gone.
using Extensions = std::map<ResourceKey, ResourcePtr<ExtensionMessage>>;

/// How often one was brought into use, and how often one that was there could not serve a new listener: the counters of Envoy.
struct ExtensionChanges {
  std::uint64_t reloads = 0;
  std::uint64_t conflicts = 0;
};

/// What fill_extensions() needs of the world.
struct ExtensionUse {
  const Extensions& extensions;
  const Resource<ListenerMessage>& listener;
  /// Has it come with this change? What is wrong is then its fault, else the listener's.
  std::function<bool(const ResourceKey&)> is_new;
  /// Runs a translation whose errors are about what has that origin.
  std::function<void(const ResourceOrigin&, const std::function<void(TranslateContext&)>&)> about;
  /// One that was there cannot serve the listener: its default does.
  std::function<void(const ResourceKey&)> on_conflict;
};

/// Puts what has come into the filters of `listener` that are discovered, and the default where nothing has.
void fill_extensions(config::Listener& listener, const ExtensionUse& use);

}  // namespace millrace::agent
