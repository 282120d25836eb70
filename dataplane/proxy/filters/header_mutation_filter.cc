// envoy.filters.http.header_mutation: changes of header fields, one after the other: the connection manager's, then those of all
// levels of the route, the most specific one first, or last where it is to win.
#include <algorithm>
#include <span>

#include "dataplane/proxy/filters/registry.h"

namespace millrace::proxy {
namespace {

class HeaderMutationFilter final : public HttpFilter {
 public:
  HeaderMutationFilter(const config::EditHeaders& config, const FilterSite& site)
      : config_(config), name_(site.name), context_(site.context) {}

  Verdict on_request(http::RequestHead& head, bool, Instant) override {
    return apply_all(&config::HeaderEdits::request, head.headers) ? Verdict::kContinue : Verdict::kNoMemory;
  }
  bool on_response(http::ResponseHead& head, bool, Instant) override {
    return apply_all(&config::HeaderEdits::response, head.headers);
  }

 private:
  using Edits = std::vector<config::HeaderEdit> config::HeaderEdits::*;

  bool apply_all(Edits edits, http::HeaderMap& headers) const {
    auto levels = find_route_configs<config::HeaderEdits>(context_.levels, name_);
    if (config_.most_specific_last) std::ranges::reverse(levels);
    return apply(config_.edits.*edits, headers) &&
           std::ranges::all_of(levels, [&](const auto* level) { return level == nullptr || apply(level->*edits, headers); });
  }

  bool apply(const std::vector<config::HeaderEdit>& edits, http::HeaderMap& headers) const {
    return std::ranges::all_of(edits, [&](const config::HeaderEdit& edit) {
      if (const auto* removed = std::get_if<std::string>(&edit)) {
        headers.remove(*removed);
        return true;
      }
      return apply_mutations(std::span(&std::get<config::HeaderMutation>(edit), 1), headers, context_.info,
                             context_.environment());
    });
  }

  const config::EditHeaders& config_;
  const std::string_view name_;
  FilterContext& context_;
};

}  // namespace

MadeFilter make_filter(const config::EditHeaders& config, const FilterSite& site) {
  return MadeFilter::of(make_in_arena<HeaderMutationFilter>(site.context.arena, config, site));
}

}  // namespace millrace::proxy
