// The HTTP filters that there are: from the configuration of one to its part in a stream. One function for each alternative of
// config::HttpFilterConfig, defined beside its filter.
#pragma once

#include "dataplane/proxy/filters/http_filter.h"

namespace millrace::proxy {

/// What a filter's function is given besides its configuration.
struct FilterSite {
  std::string_view name;  ///< by which routes refer to it
  FilterContext& context;

  /// What the route says, where it says it with a T.
  template <typename T>
  [[nodiscard]] const T* route_config() const {
    return find_route_config<T>(context.levels, name);
  }
};

[[nodiscard]] MadeFilter make_filter(const config::AnswerHealthChecks& config, const FilterSite& site);
[[nodiscard]] MadeFilter make_filter(const config::BandwidthLimit& config, const FilterSite& site);
[[nodiscard]] MadeFilter make_filter(const config::BufferRequests& config, const FilterSite& site);
[[nodiscard]] MadeFilter make_filter(const config::Compressor& config, const FilterSite& site);
[[nodiscard]] MadeFilter make_filter(const config::Cors& config, const FilterSite& site);
[[nodiscard]] MadeFilter make_filter(const config::Csrf& config, const FilterSite& site);
[[nodiscard]] MadeFilter make_filter(const config::Decompressor& config, const FilterSite& site);
[[nodiscard]] MadeFilter make_filter(const config::EditHeaders& config, const FilterSite& site);
[[nodiscard]] MadeFilter make_filter(const config::Fault& config, const FilterSite& site);
[[nodiscard]] MadeFilter make_filter(const config::JwtAuthn& config, const FilterSite& site);
[[nodiscard]] MadeFilter make_filter(const config::MissingConfig& config, const FilterSite& site);
[[nodiscard]] MadeFilter make_filter(const config::Rbac& config, const FilterSite& site);
[[nodiscard]] MadeFilter make_filter(const config::LocalRateLimit& config, const FilterSite& site);

[[nodiscard]] inline MadeFilter make_filter(const config::HttpFilter& filter, FilterContext& context) {
  const FilterSite site{filter.name, context};
  return std::visit([&](const auto& config) { return make_filter(config, site); }, filter.config);
}

}  // namespace millrace::proxy
