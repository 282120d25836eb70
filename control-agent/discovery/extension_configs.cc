#include "control-agent/discovery/extension_configs.h"

#include <cstddef>
#include <string>

#include "control-agent/discovery/connection_managers.h"
#include "control-agent/field_table.h"
#include "control-agent/filters/discovered_filter.h"
#include "control-agent/translate_http.h"

namespace millrace::agent {
namespace {

class Filling {
 public:
  Filling(config::HttpConnectionManager& http, const ExtensionUse& use) : http_(http), use_(use) {}

  void run() {
    bool any = false;
    for (config::HttpFilter& filter : http_.filters) {
      if (filter.discovery == nullptr) continue;
      fill(filter);
      any = true;
    }
    if (any) check_order();
  }

 private:
  void fill(config::HttpFilter& filter) {
    const ResourceKey key{filter.discovery->source, filter.name};
    const ResourcePtr<ExtensionMessage>& resource = use_.extensions.at(key);
    filter.config = filter.discovery->fallback;
    if (resource == nullptr) return;
    const bool is_new = use_.is_new(key);
    if (!is_new && !allows(*filter.discovery, resource->message().typed_config())) return use_.on_conflict(key);
    if (is_new) newest_ = resource.get();
    use_.about(resource->origin(), [&](TranslateContext& context) {
      context.http_stat_prefix = context.stat_prefix = http_.stat_prefix;
      filter.config = translate_discovered_filter(*filter.discovery, resource->message().typed_config(),
                                                  join_path(resource->path(), "typed_config"), context);
    });
  }

  void check_order() {
    const auto misplaced = find_misplaced_filter(http_.filters);
    if (!misplaced) return;
    const ResourceOrigin& at_fault = newest_ == nullptr ? use_.listener.origin() : newest_->origin();
    const std::string path = newest_ == nullptr ? use_.listener.path() : newest_->path();
    use_.about(at_fault, [&](TranslateContext& context) {
      context.diagnostics.error(
          path, "with it the HTTP filter \"" + http_.filters[*misplaced].name + "\" " + std::string(kMisplacedFilter));
    });
  }

  config::HttpConnectionManager& http_;
  const ExtensionUse& use_;
  const Resource<ExtensionMessage>* newest_ = nullptr;  // of those that have come with this change
};

}  // namespace

ExtensionSources extension_sources(const ListenerMessage& listener) {
  ExtensionSources out;
  for_each_manager(listener, [&](const auto& manager) {
    for (const auto& filter : manager.http_filters()) {
      if (!filter.has_config_discovery() || is_left_out(filter)) continue;
      const auto& discovery = filter.config_discovery();
      ExtensionSource& use = out[{source_key(discovery.config_source()), filter.name()}];
      use.is_waited_for = use.is_waited_for || !discovery.apply_default_config_without_warming();
      use.source = discovery.config_source();
    }
  });
  return out;
}

void fill_extensions(config::Listener& listener, const ExtensionUse& use) {
  for (config::FilterChain& chain : listener.chains) {
    if (config::HttpConnectionManager* http = chain.http()) Filling(*http, use).run();
  }
}

}  // namespace millrace::agent
