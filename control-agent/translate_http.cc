#include "control-agent/translate_http.h"

#include <algorithm>
#include <utility>

#include "control-agent/discovery/resources.h"
#include "control-agent/field_table.h"
#include "control-agent/filters/discovered_filter.h"
#include "control-agent/filters/http_filters.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_scoped_routes.h"
#include "control-agent/translate_upgrades.h"
#include "control-agent/xds/server_plan.h"
#include "dataplane/base/limits.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/request_id/uuid/v3/uuid.pb.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;
using envoy::extensions::filters::http::router::v3::Router;
using Hcm = envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
using config::HttpConnectionManager;

namespace {

/// One connection manager on its way, with what every step needs.
struct Work {
  const Hcm& in;
  const std::string& path;
  TranslateContext& context;
  HttpConnectionManager out;

  [[nodiscard]] std::string at(std::string_view field) const { return join_path(path, field); }
  void error(std::string_view field, std::string reason) const { context.diagnostics.error(at(field), std::move(reason)); }
  void duration(bool is_set, const google::protobuf::Duration& value, std::string_view field, Duration& target) const {
    if (is_set) target = translate_duration(value, at(field), context.diagnostics);
  }
};

void translate_times(Work& w) {
  const auto& common = w.in.common_http_protocol_options();
  w.duration(w.in.has_request_timeout(), w.in.request_timeout(), "request_timeout", w.out.request_timeout);
  w.duration(w.in.has_request_headers_timeout(), w.in.request_headers_timeout(), "request_headers_timeout",
             w.out.request_headers_timeout);
  w.duration(w.in.has_stream_idle_timeout(), w.in.stream_idle_timeout(), "stream_idle_timeout", w.out.stream_idle_timeout);
  w.duration(w.in.has_drain_timeout(), w.in.drain_timeout(), "drain_timeout", w.out.drain_timeout);
  w.duration(w.in.has_delayed_close_timeout(), w.in.delayed_close_timeout(), "delayed_close_timeout",
             w.out.delayed_close_timeout);
  w.duration(common.has_idle_timeout(), common.idle_timeout(), "common_http_protocol_options.idle_timeout", w.out.idle_timeout);
  w.duration(common.has_max_connection_duration(), common.max_connection_duration(),
             "common_http_protocol_options.max_connection_duration", w.out.max_connection_duration);
  w.duration(common.has_max_stream_duration(), common.max_stream_duration(), "common_http_protocol_options.max_stream_duration",
             w.out.max_stream_duration);
}

void translate_codec(Work& w) {
  if (w.in.codec_type() != Hcm::AUTO && w.in.codec_type() != Hcm::HTTP1) {
    w.error("codec_type", Hcm::CodecType_Name(w.in.codec_type()) + " is not supported yet: use AUTO or HTTP1");
  }
  constexpr std::uint32_t kMaxKilobytes = limits::kMaxRequestHeadersBytes / 1024;
  if (w.in.has_max_request_headers_kb()) {
    const auto kilobytes = w.in.max_request_headers_kb().value();
    if (kilobytes > kMaxKilobytes) {
      w.error("max_request_headers_kb", "must be at most " + std::to_string(kMaxKilobytes) + ", is " + std::to_string(kilobytes));
    } else {
      w.out.max_request_headers_bytes = kilobytes * 1024;
    }
  }
  const auto& common = w.in.common_http_protocol_options();
  if (common.has_max_headers_count()) {
    w.out.max_headers_count = common.max_headers_count().value();
    if (w.out.max_headers_count > limits::kMaxHeaderCount) {
      w.error("common_http_protocol_options.max_headers_count",
              "must be at most " + std::to_string(limits::kMaxHeaderCount) + ", is " + std::to_string(w.out.max_headers_count));
    }
  }
  w.out.max_requests_per_connection = common.max_requests_per_connection().value();
  switch (common.headers_with_underscores_action()) {
    case core::HttpProtocolOptions::REJECT_REQUEST: w.out.underscores = HttpConnectionManager::Underscores::kReject; break;
    case core::HttpProtocolOptions::DROP_HEADER: w.out.underscores = HttpConnectionManager::Underscores::kDrop; break;
    default: break;
  }
  const auto& http1 = w.in.http_protocol_options();
  w.out.accept_http_10 = http1.accept_http_10();
  w.out.default_host_for_http_10 = http1.default_host_for_http_10();
  w.out.allow_absolute_url = !http1.has_allow_absolute_url() || http1.allow_absolute_url().value();
  w.out.enable_trailers = http1.enable_trailers();
}

void translate_client(Work& w) {
  w.out.use_remote_address = w.in.use_remote_address().value();
  w.out.xff_num_trusted_hops = w.in.xff_num_trusted_hops();
  w.out.skip_xff_append = w.in.skip_xff_append();
  w.out.append_local_overload = w.in.append_local_overload();
  if (w.in.has_add_proxy_protocol_connection_state())
    w.out.add_proxy_protocol_connection_state = w.in.add_proxy_protocol_connection_state().value();
  using Forward = HttpConnectionManager::ForwardClientCert;
  switch (w.in.forward_client_cert_details()) {
    case Hcm::FORWARD_ONLY: w.out.forward_client_cert = Forward::kForwardOnly; break;
    case Hcm::APPEND_FORWARD: w.out.forward_client_cert = Forward::kAppendForward; break;
    case Hcm::SANITIZE_SET: w.out.forward_client_cert = Forward::kSanitizeSet; break;
    case Hcm::ALWAYS_FORWARD_ONLY: w.out.forward_client_cert = Forward::kAlwaysForwardOnly; break;
    default: break;
  }
  const auto& details = w.in.set_current_client_cert_details();
  w.out.client_cert_details = {.subject = details.subject().value(),
                               .cert = details.cert(),
                               .chain = details.chain(),
                               .dns = details.dns(),
                               .uri = details.uri()};
}

void translate_path_options(Work& w) {
  using Escaped = HttpConnectionManager::EscapedSlashes;
  w.out.normalize_path = w.in.normalize_path().value();
  w.out.merge_slashes = w.in.merge_slashes();
  switch (w.in.path_with_escaped_slashes_action()) {
    case Hcm::REJECT_REQUEST: w.out.escaped_slashes = Escaped::kReject; break;
    case Hcm::UNESCAPE_AND_REDIRECT: w.out.escaped_slashes = Escaped::kUnescapeAndRedirect; break;
    case Hcm::UNESCAPE_AND_FORWARD: w.out.escaped_slashes = Escaped::kUnescapeAndForward; break;
    default: break;
  }
  w.out.strip_any_host_port = w.in.strip_any_host_port();
  w.out.strip_matching_host_port = w.in.strip_matching_host_port();
  if (w.out.strip_any_host_port && w.out.strip_matching_host_port) {
    w.error("strip_matching_host_port", "cannot be set together with strip_any_host_port: choose one");
  }
}

void translate_added_fields(Work& w) {
  using Server = HttpConnectionManager::ServerHeader;
  w.out.server_header = w.in.server_header_transformation() == Hcm::APPEND_IF_ABSENT ? Server::kAppendIfAbsent
                        : w.in.server_header_transformation() == Hcm::PASS_THROUGH   ? Server::kPassThrough
                                                                                     : Server::kOverwrite;
  if (!w.in.server_name().empty()) w.out.server_name = w.in.server_name();
  w.out.via = w.in.via();
  w.out.generate_request_id = !w.in.has_generate_request_id() || w.in.generate_request_id().value();
  w.out.preserve_external_request_id = w.in.preserve_external_request_id();
  w.out.always_set_request_id_in_response = w.in.always_set_request_id_in_response();
  w.out.add_user_agent = w.in.add_user_agent().value();
  w.out.service_cluster = w.context.service_cluster;
  w.out.service_node = w.context.service_node;
  const auto& extension = w.in.request_id_extension().typed_config();
  if (w.in.has_request_id_extension() && !extension.Is<envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig>()) {
    w.error("request_id_extension.typed_config", "must be a UuidRequestIdConfig");
  }
}

// The table is filled in when the route configuration is there (discovery/world.h). Until then there is no route, as in Envoy.
void translate_rds(Work& w) {
  w.out.route_config_name = w.in.rds().route_config_name();
  w.out.route_config_source = source_key(w.in.rds().config_source());
  check_config_source(w.in.rds().config_source(), w.at("rds.config_source"), w.context.bootstrap, w.context.diagnostics);
  if (w.out.route_config_name.empty()) w.error("rds.route_config_name", "must be set: it says which route configuration is used");
  auto table = std::make_shared<config::RouteTable>();
  table->name = w.out.route_config_name;
  w.out.routes = std::move(table);
}

/// What comes behind it sees another body than the client has sent.
bool changes_request_bodies(const config::HttpFilterConfig& filter) {
  const auto* compressor = std::get_if<config::Compressor>(&filter);
  const auto* decompressor = std::get_if<config::Decompressor>(&filter);
  return (compressor != nullptr && compressor->request.enabled) || (decompressor != nullptr && decompressor->request.enabled);
}

void translate_filters(Work& w) {
  bool routed = false;
  std::vector<std::string> fields;  // of those that are not left out
  for (int i = 0; i < w.in.http_filters_size(); ++i) {
    const auto& filter = w.in.http_filters(i);
    if (is_left_out(filter) || !tolerated(filter.typed_config()).empty()) continue;
    const std::string field = index_path("http_filters", static_cast<std::size_t>(i));
    const std::string config_field = join_path(field, "typed_config");
    if (routed) w.error(field, "stands behind the router, which must be the last filter");
    if (const auto router = unpack<Router>(filter.typed_config())) {
      if (filter.disabled()) w.error(join_path(field, "disabled"), "cannot be set for the router");
      routed = true;
      w.out.suppress_envoy_headers = router->suppress_envoy_headers();
    } else if (filter.has_config_discovery()) {
      auto discovery =
          translate_filter_discovery(filter.config_discovery(), w.at(join_path(field, "config_discovery")), w.context);
      fields.push_back(field);
      w.out.filters.push_back(
          {.name = filter.name(), .disabled = filter.disabled(), .config = discovery->fallback, .discovery = discovery});
    } else if (auto config = translate_http_filter(filter.typed_config(), w.at(config_field), w.context)) {
      fields.push_back(field);
      w.out.filters.push_back({.name = filter.name(), .disabled = filter.disabled(), .config = std::move(*config)});
    }
  }
  if (const auto misplaced = find_misplaced_filter(w.out.filters)) w.error(fields[*misplaced], std::string(kMisplacedFilter));
  if (!routed) w.error("http_filters", "must end with the router (envoy.extensions.filters.http.router.v3.Router)");
}

}  // namespace

std::optional<std::size_t> find_misplaced_filter(const std::vector<config::HttpFilter>& filters) {
  const auto changing = std::ranges::find_if(filters, changes_request_bodies, &config::HttpFilter::config);
  const auto misplaced = std::find_if(changing, filters.end(), [](const config::HttpFilter& filter) {
    return std::holds_alternative<config::BufferRequests>(filter.config);
  });
  if (misplaced == filters.end()) return std::nullopt;
  return static_cast<std::size_t>(misplaced - filters.begin());
}

HttpConnectionManager translate_http_connection_manager(const Hcm& manager, const std::string& path, TranslateContext& context) {
  Work work{manager, path, context, {}};
  work.out.stat_prefix = context.http_stat_prefix = manager.stat_prefix();
  if (manager.has_route_config()) {
    work.out.routes = translate_routes(manager.route_config(), work.at("route_config"), true, context);
  } else if (manager.has_rds()) {
    translate_rds(work);
  } else if (manager.has_scoped_routes()) {
    work.out.scoped = translate_scoped_routes(manager.scoped_routes(), work.at("scoped_routes"), context);
    work.out.routes = std::make_shared<config::RouteTable>();
  } else if (manager.route_specifier_case() == Hcm::ROUTE_SPECIFIER_NOT_SET) {
    context.diagnostics.error(path, "needs a route_config, rds or scoped_routes");
  }
  for (int i = 0; i < manager.access_log_size(); ++i) {
    work.out.access_logs.push_back(
        translate_access_log(manager.access_log(i), index_path(work.at("access_log"), static_cast<std::size_t>(i)), context));
  }
  translate_times(work);
  translate_codec(work);
  translate_client(work);
  translate_path_options(work);
  translate_added_fields(work);
  const Upgrades upgrades = translate_upgrades(manager.upgrade_configs(), work.at("upgrade_configs"), context.diagnostics);
  work.out.websocket = upgrades.websocket.value_or(false);
  work.out.connect = upgrades.connect.value_or(false);
  context.stat_prefix = manager.stat_prefix();
  translate_filters(work);
  work.out.cell = context.cells.http.get(manager.stat_prefix());
  return std::move(work.out);
}

}  // namespace millrace::agent
