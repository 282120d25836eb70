#include "control-agent/translate_network_filters.h"

#include "control-agent/translate_common.h"
#include "control-agent/translate_rate_limit.h"

namespace millrace::agent {

namespace network = envoy::extensions::filters::network;

namespace {

// Of a filter that holds unless it says otherwise.
template <typename Filter>
bool is_enabled(const Filter& filter, TranslateContext& context) {
  return !filter.has_runtime_enabled() || translate_flag(filter.runtime_enabled(), context);
}

}  // namespace

config::ConnectionLimit translate_connection_limit(const network::connection_limit::v3::ConnectionLimit& filter,
                                                   const std::string& path, TranslateContext& context) {
  config::ConnectionLimit out;
  out.enabled = is_enabled(filter, context);
  if (filter.has_max_connections()) {
    out.max_connections = filter.max_connections().value();
  } else {
    context.diagnostics.error(join_path(path, "max_connections"), "must be set: it is what the filter limits");
  }
  if (filter.has_delay()) out.delay = translate_duration(filter.delay(), join_path(path, "delay"), context.diagnostics);
  out.total = context.cells.connection_totals.get(path);
  out.cell = context.cells.connection_limits.get(filter.stat_prefix());
  return out;
}

config::ConnectionRateLimit translate_connection_rate_limit(const network::local_ratelimit::v3::LocalRateLimit& filter,
                                                            const std::string& path, TranslateContext& context) {
  config::ConnectionRateLimit out;
  out.enabled = is_enabled(filter, context);
  out.bucket = translate_token_bucket(filter.token_bucket(), join_path(path, "token_bucket"), context);
  if (!filter.share_key().empty() && out.bucket.cell != nullptr) {  // one for all that say the same
    out.bucket = share_token_bucket(out.bucket, "share_key " + filter.share_key(), context);
  }
  out.cell = context.cells.network_rate_limits.get(filter.stat_prefix());
  return out;
}

config::DirectText translate_direct_text(const network::direct_response::v3::Config& filter, const std::string& path,
                                         TranslateContext& context) {
  if (!filter.has_response()) return {};
  return {read_data_source(filter.response(), join_path(path, "response"), context.diagnostics).value_or("")};
}

}  // namespace millrace::agent
