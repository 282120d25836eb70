// A filter whose configuration is discovered and has not come: no request passes it. Source: Envoy's "Extension configuration",
// section "HTTP filters".
#include "dataplane/proxy/filters/registry.h"

namespace millrace::proxy {
namespace {

class MissingConfigFilter final : public HttpFilter {
 public:
  explicit MissingConfigFilter(FilterContext& context) : context_(context) {}

  Verdict on_request(http::RequestHead&, bool, Instant now) override {
    context_.actions.answer({.status = 500, .flag = ResponseFlag::kNoFilterConfigFound}, now);
    return Verdict::kAnswered;
  }

 private:
  FilterContext& context_;
};

}  // namespace

MadeFilter make_filter(const config::MissingConfig&, const FilterSite& site) {
  return MadeFilter::of(make_in_arena<MissingConfigFilter>(site.context.arena, site.context));
}

}  // namespace millrace::proxy
