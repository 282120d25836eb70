#include "control-agent/bootstrap_loader.h"

#include <google/protobuf/any.pb.h>
#include <sched.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "control-agent/dataplane_rules.h"
#include "control-agent/discovery/file_discovery.h"
#include "control-agent/discovery/snapshot_publisher.h"
#include "control-agent/field_table.h"
#include "control-agent/loader.h"
#include "control-agent/stats_settings.h"
#include "control-agent/to_json.h"
#include "control-agent/translate.h"
#include "control-agent/translate_overload.h"
#include "control-agent/translate_tls.h"
#include "control-agent/validate_rules.h"
#include "control-agent/xds/xds_client.h"
#include "dataplane/base/limits.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "millrace/v1/dataplane.pb.h"

namespace millrace::agent {

using envoy::config::bootstrap::v3::Bootstrap;

Loaded::Loaded() = default;
Loaded::Loaded(Loaded&&) noexcept = default;
Loaded& Loaded::operator=(Loaded&&) noexcept = default;
Loaded::~Loaded() = default;

nlohmann::ordered_json Loaded::bootstrap_json() const { return to_json(*bootstrap); }

namespace {

constexpr const char* kOverlayName = "--config-yaml";

/// False: there is nothing to check (a file is missing or is no YAML).
bool read_bootstrap(const LoadOptions& options, Bootstrap& bootstrap, SourceMap& places, Diagnostics& diagnostics) {
  const ParseOptions parse{.allow_unknown_fields = options.allow_unknown_static_fields};
  if (options.config_path.empty() && options.config_yaml.empty()) {
    diagnostics.error({}, "no configuration: give -c FILE or --config-yaml TEXT");
    return false;
  }
  if (!options.config_path.empty()) parse_file(options.config_path, parse, bootstrap, places, diagnostics);
  if (!options.config_yaml.empty()) parse_text(options.config_yaml, kOverlayName, parse, bootstrap, places, diagnostics);
  return std::ranges::none_of(diagnostics.errors(), [](const ConfigError& error) { return error.path.empty(); });
}

/// The entry of bootstrap_extensions that is a Dataplane. The bootstrap's own checks have looked at its content.
std::string find_extension(const Bootstrap& bootstrap, v1::Dataplane& dataplane, Diagnostics& diagnostics) {
  std::string found;
  for (int i = 0; i < bootstrap.bootstrap_extensions_size(); ++i) {
    const auto& any = bootstrap.bootstrap_extensions(i).typed_config();
    const std::string path = join_path(index_path("bootstrap_extensions", static_cast<std::size_t>(i)), "typed_config");
    if (any.Is<v1::Dataplane>()) {
      if (!found.empty()) diagnostics.error(path, "is a second millrace.v1.Dataplane: one is enough");
      if (found.empty() && any.UnpackTo(&dataplane)) found = path;
    } else if (find_any_type(any.type_url()) != nullptr && has_message(find_any_type(any.type_url())->full_name())) {
      diagnostics.error(path, "the type \"" + any.type_url() + "\" is not a bootstrap extension: use millrace.v1.Dataplane");
    }
  }
  return found;
}

void check(const google::protobuf::Message& message, Diagnostics& diagnostics) {
  validate_rules(message, {}, diagnostics);
  check_fields(message, {}, diagnostics);
}

/// What the field table says holds for the data plane: of a management server's cluster only what plan_servers() reads has an
/// effect, and that is checked there.
Bootstrap without_management_clusters(const Bootstrap& bootstrap) {
  Bootstrap out = bootstrap;
  const std::set<std::string> names = management_clusters(bootstrap);
  for (auto& cluster : *out.mutable_static_resources()->mutable_clusters()) {
    if (!names.contains(cluster.name())) continue;
    const std::string name = cluster.name();
    cluster.Clear();
    cluster.set_name(name);
  }
  return out;
}

/// The cores that this process may run on, minus one for the agent.
std::size_t spare_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  const int count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
  return count > 1 ? static_cast<std::size_t>(count - 1) : 1;
}

std::uint32_t decide_workers(std::uint32_t configured, std::size_t concurrency) {
  const std::size_t count = configured != 0 ? configured : concurrency != 0 ? concurrency : spare_cores();
  return static_cast<std::uint32_t>(std::min(count, limits::kMaxWorkers));
}

/// In the order in which a reader finds them in the file; what has no line comes first.
std::vector<ConfigError> in_file_order(std::vector<ConfigError> errors) {
  std::ranges::stable_sort(
      errors, [](const ConfigError& a, const ConfigError& b) { return std::tie(a.file, a.line) < std::tie(b.file, b.line); });
  return errors;
}

std::vector<std::string> report_lines(const std::vector<FileReport>& reports) {
  std::vector<std::string> lines;
  for (const FileReport& report : reports) {
    for (const ConfigError& warning : report.warnings) lines.push_back(warning.to_string());
    for (const ConfigError& error : report.errors) lines.push_back(error.to_string() + " (none of the file's resources is used)");
  }
  return lines;
}

// What the bootstrap says of the runtime and of overload, for all worlds, and the plan of the agent's thread.
void read_overload(const Bootstrap& bootstrap, WorldSettings& settings, std::shared_ptr<const OverloadPlan>& plan,
                   Diagnostics& diagnostics) {
  TranslateContext context{
      diagnostics, *settings.cells, settings.workers, settings.service_node, settings.service_cluster, {}, {}, {}};
  settings.runtime = plan_runtime(bootstrap.layered_runtime(), "layered_runtime", diagnostics);
  settings.overload = translate_overload(bootstrap, "overload_manager", context);
  plan = std::move(context.overload);
}

// It has to be there before any other cluster is balanced.
std::string read_local_cluster(const Bootstrap& bootstrap, Diagnostics& diagnostics) {
  const std::string& name = bootstrap.cluster_manager().local_cluster_name();
  const auto& clusters = bootstrap.static_resources().clusters();
  if (!name.empty() && std::ranges::none_of(clusters, [&](const auto& cluster) { return cluster.name() == name; })) {
    diagnostics.error("cluster_manager.local_cluster_name",
                      "there is no cluster \"" + name + "\" in static_resources: define it there; its endpoints may come by EDS");
  }
  return name;
}

}  // namespace

Result<Loaded, std::vector<ConfigError>> load(const LoadOptions& options) {
  Loaded out;
  out.bootstrap = std::make_unique<Bootstrap>();
  out.dataplane = std::make_unique<v1::Dataplane>();
  SourceMap places;
  SourceMap dataplane_places;
  Diagnostics diagnostics(&places);
  Diagnostics dataplane_diagnostics(&dataplane_places);

  const bool readable = read_bootstrap(options, *out.bootstrap, places, diagnostics);
  if (readable) {
    check(without_management_clusters(*out.bootstrap), diagnostics);
    check_control_planes(*out.bootstrap, diagnostics);
    out.has_control_plane = has_control_plane(*out.bootstrap);
    out.reports_load = out.bootstrap->cluster_manager().has_load_stats_config();
  }
  out.discovered_secrets = std::make_shared<DiscoveredSecrets>(out.bootstrap.get());
  out.node = std::make_unique<envoy::config::core::v3::Node>();

  // The machine first: it says how many workers there are.
  const std::string extension = find_extension(*out.bootstrap, *out.dataplane, diagnostics);
  if (!options.dataplane_path.empty()) {
    if (!extension.empty())
      diagnostics.error(extension, "cannot be given together with --dataplane " + options.dataplane_path + ": choose one");
    out.dataplane->Clear();
    const auto before = dataplane_diagnostics.errors().size();
    parse_file(options.dataplane_path, {.allow_unknown_fields = options.allow_unknown_static_fields}, *out.dataplane,
               dataplane_places, dataplane_diagnostics);
    const auto& errors = dataplane_diagnostics.errors();
    if (errors.size() == before || !errors.back().path.empty()) {
      check(*out.dataplane, dataplane_diagnostics);
      out.machine = translate_dataplane(*out.dataplane, {}, dataplane_diagnostics);
    }
  } else if (!extension.empty()) {
    out.machine = translate_dataplane(*out.dataplane, extension, diagnostics);
  }
  out.machine.worker_count = decide_workers(out.machine.worker_count, options.concurrency);
  if (out.machine.tls.handshake_threads == 0) out.machine.tls.handshake_threads = std::max(out.machine.worker_count / 2, 1U);
  options.dataplane_path.empty() ? check_worker_numbers(out.machine, extension, diagnostics)
                                 : check_worker_numbers(out.machine, {}, dataplane_diagnostics);
  out.cells = options.cells != nullptr ? options.cells : std::make_shared<CellRegistry>(out.machine.worker_count);

  out.secrets = std::make_shared<SecretStore>();
  out.key_sets = std::make_shared<KeySetStore>();

  if (readable) {
    const auto& node = out.bootstrap->node();
    const bool has_machine = !out.machine.ports.empty() || !options.dataplane_path.empty() || !extension.empty();
    WorldSettings settings{
        .cells = out.cells,
        .secrets = out.secrets,
        .static_secrets = collect_secrets(out.bootstrap->static_resources().secrets(), "static_resources.secrets", diagnostics),
        .discovered_secrets = out.discovered_secrets,
        .key_sets = out.key_sets,
        .workers = out.machine.worker_count,
        .service_node = options.service_node.empty() ? node.id() : options.service_node,
        .service_cluster = options.service_cluster.empty() ? node.cluster() : options.service_cluster,
        .local_cluster = read_local_cluster(*out.bootstrap, diagnostics),
        .locality = translate_locality_name(node.locality()),
        .runtime = {},
        .overload = nullptr,
        .keep_records_in_openssl = out.machine.tls.record_engine == config::TlsSettings::RecordEngine::kOpenssl,
        .ports = {}};
    *out.node = make_node(*out.bootstrap, settings.service_node, settings.service_cluster);
    read_overload(*out.bootstrap, settings, out.overload, diagnostics);
    // What is wrong elsewhere already would only be found again.
    if (has_machine && diagnostics.ok() && dataplane_diagnostics.ok()) settings.ports = out.machine.ports;
    Translation first = translate_world({}, static_resources(*out.bootstrap, diagnostics), settings, diagnostics);
    if (!has_machine && !first.world.listeners.empty()) {
      diagnostics.warning({},
                          "there are listeners but no ports: give --dataplane FILE or a bootstrap_extensions entry of type "
                          "millrace.v1.Dataplane");
    }
    // For its errors: the admin pages translate it again, of a bootstrap that is right.
    (void)translate_stats(*out.bootstrap, diagnostics);
    out.admin_address = translate_admin(out.bootstrap->admin(), "admin", diagnostics);
    if (diagnostics.ok() && dataplane_diagnostics.ok()) {
      out.publisher = std::make_unique<SnapshotPublisher>(std::move(settings), std::move(first.world));
      out.discovery = std::make_unique<FileDiscovery>(*out.bootstrap, *out.publisher);
      std::vector<FileReport> reports;
      out.discovery->start(diagnostics, reports);
      out.snapshot = out.publisher->snapshot();
      out.warnings = report_lines(reports);
    }
  }
  if (!diagnostics.ok() || !dataplane_diagnostics.ok()) {
    auto errors = in_file_order(diagnostics.errors());
    for (auto& error : in_file_order(dataplane_diagnostics.errors())) errors.push_back(std::move(error));
    return Error<std::vector<ConfigError>>(std::move(errors));
  }
  for (const auto* source : {&diagnostics, &dataplane_diagnostics}) {
    for (const auto& warning : source->warnings()) out.warnings.push_back(warning.to_string());
    out.harmless.insert(out.harmless.end(), source->harmless_fields().begin(), source->harmless_fields().end());
  }
  return out;
}

}  // namespace millrace::agent
