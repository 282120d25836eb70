#include "dataplane/app/gateway.h"

#include <spdlog/spdlog.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <thread>

#include "control-agent/discovery/discovery_thread.h"
#include "control-agent/discovery/name_thread.h"
#include "control-agent/jwks/key_set_thread.h"
#include "control-agent/last_good/last_good_file.h"
#include "control-agent/last_good/last_good_keeper.h"
#include "control-agent/xds/xds_thread.h"
#include "dataplane/app/ask_workers.h"
#include "dataplane/app/open_port.h"
#include "dataplane/app/port_report.h"
#include "dataplane/app/port_setup.h"
#include "dataplane/app/version.h"

namespace millrace::app {
namespace {

using Hugepages = config::Dataplane::Hugepages;

constexpr std::size_t kDefaultPacketBuffers = 65'536;
constexpr std::size_t kLogRingBytes = 4 * 1024 * 1024;
constexpr std::chrono::milliseconds kPollInterval{10};

// EAL's and the drivers' log. Drivers call errors what is none (a TAP without flow rules logs five at every start), and what
// really fails comes back as an error text that we print: so everything of theirs is for those who look.
void log_eal(nic::EalLogLevel level, std::string_view line) {
  if (level == nic::EalLogLevel::kDebug) {
    spdlog::trace("dpdk: {}", line);
  } else {
    spdlog::debug("dpdk: {}", line);
  }
}

const char* link_text(const nic::Port& port) { return port.link_up() ? "up" : "down"; }

// The rule by which flows belong to workers: that of a device which steers by it, else our own. A port that steers by another
// rule, or not at all, costs its packets a way from worker to worker, no more.
RssTable rss_table(std::span<const std::unique_ptr<nic::Port>> ports, std::uint16_t workers) {
  for (const auto& port : ports) {
    const auto& rss = port->info().rss;
    const auto known = [&](std::uint16_t queue) { return queue < workers; };
    if (!rss || port->info().queues != workers || !std::ranges::all_of(rss->queues, known)) continue;
    spdlog::info("{} workers own flows by the rule of port {}", workers, port->info().name);
    return *rss;
  }
  spdlog::info("{} workers own flows by a hash in software: no port steers to all of them", workers);
  return RssTable::symmetric(workers);
}

template <typename T>
T random_secret() {
  T secret{};
  if (getrandom(&secret, sizeof(secret), 0) != sizeof(secret)) {
    throw MachineError(std::string("the operating system gives no random numbers: ") + std::strerror(errno));
  }
  return secret;
}

agent::RoutableFamilies routable_families(const config::Dataplane& machine) {
  agent::RoutableFamilies out{.v4 = false, .v6 = false};
  for (const config::PortConfig& port : machine.ports) {
    for (const IpPrefix& own : port.addresses) (own.address.is_v4() ? out.v4 : out.v6) = true;
  }
  return out;
}

std::string hostname() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

template <typename T>
T must(Result<T, std::string> result) {
  if (!result) throw MachineError(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace

Gateway::Gateway(const Options& options, agent::Loaded loaded) : options_(options), loaded_(std::move(loaded)) {
  start_machine();
  open_crypto_device();
  open_ports();
  start_workers();
  name_thread_ =
      std::make_unique<agent::NameThread>(*loaded_.publisher, routable_families(loaded_.machine), random_secret<std::uint64_t>());
  key_set_thread_ = std::make_unique<agent::KeySetThread>(loaded_.key_sets, *loaded_.publisher, random_secret<std::uint64_t>());
  if (loaded_.discovery->descriptor() >= 0) discovery_thread_ = std::make_unique<agent::DiscoveryThread>(*loaded_.discovery);
  if (loaded_.has_control_plane || loaded_.reports_load) {
    xds_thread_ = std::make_unique<agent::XdsThread>(
        *loaded_.bootstrap, *loaded_.node, *loaded_.publisher, *loaded_.secrets, *loaded_.discovered_secrets,
        agent::XdsOptions{.seed = random_secret<std::uint64_t>(),
                          .last_good = last_good(),
                          .reject_unknown_fields = options_.reject_unknown_dynamic_fields});
    if (loaded_.has_control_plane) keep_last_good();
  }
  secret_watcher_ = std::make_unique<agent::SecretWatcher>(loaded_.secrets);
  if (loaded_.overload != nullptr) overload_watcher_ = std::make_unique<agent::OverloadWatcher>(loaded_.overload);
  if (loaded_.admin_address) admin_ = std::make_unique<agent::AdminServer>(*loaded_.admin_address, *this);
  if (!options_.csds_address.empty()) status_server_ = must(agent::StatusServer::start(options_.csds_address, *this));
  serve_snapshots();
}

Gateway::~Gateway() {
  status_server_.reset();
  admin_.reset();
  last_good_keeper_.reset();
  xds_thread_.reset();
  discovery_thread_.reset();
  key_set_thread_.reset();
  name_thread_.reset();
  for (worker::WorkerThread& thread : threads_) thread.stop();
  threads_.clear();
  log_writer_.reset();
}

void Gateway::start_machine() {
  const nic::Topology topology = must(nic::load_topology());
  nic::PlacementRequest request{.workers = loaded_.machine.worker_count};
  placement_ = must(nic::place_workers(topology, request));
  if (placement_.shared) {
    spdlog::warn("{}", placement_.warning);
    adaptive_ = true;
  }
  const std::size_t buffers = loaded_.machine.packet_buffers > 0 ? loaded_.machine.packet_buffers : kDefaultPacketBuffers;
  const std::size_t buffer_bytes = packet_buffer_bytes(loaded_.machine);
  const std::size_t pool_bytes = nic::MbufPool::memory_bytes(buffers, buffer_bytes) * loaded_.machine.worker_count;
  eal_ = must(nic::Eal::start(
      {.memory_mb = (pool_bytes + crypto_device_bytes(loaded_.machine)) / (1024 * 1024) + 64 * (1 + loaded_.machine.ports.size()),
       .huge_pages = loaded_.machine.hugepages == Hugepages::kNever ? nic::HugePages::kNever : nic::HugePages::kIfFree,
       .control_cpu = placement_.agent_cpu,
       .pci_addresses = pci_addresses(loaded_.machine),
       .log = log_eal}));
  // From here on: the threads of the agent, those of handshakes. Workers bind themselves to theirs.
  must(nic::bind_current_thread(placement_.other_cpus));
  if (loaded_.machine.hugepages == Hugepages::kRequired && !eal_->huge_pages()) {
    throw MachineError("hugepages: REQUIRED, but not enough of them are free: echo " +
                       std::to_string(pool_bytes / (2 * 1024 * 1024) + 64) +
                       " > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
  }
  const auto& nodes = placement_.worker_numa_nodes;
  const bool one_node = std::ranges::all_of(nodes, [&](int node) { return node == nodes.front(); });
  // One for all: a port with one queue receives into it for every worker, and what is scarce is scarce for all.
  pool_ = must(nic::MbufPool::create({.name = "packets",
                                      .buffers = buffers * loaded_.machine.worker_count,
                                      .buffer_bytes = buffer_bytes,
                                      .numa_node = one_node ? nodes.front() : -1,
                                      .shared = loaded_.machine.worker_count > 1,
                                      .physical = needs_physical_memory(loaded_.machine)}));
}

void Gateway::open_crypto_device() {
  const config::TlsSettings& tls = loaded_.machine.tls;
  if (tls.record_engine != config::TlsSettings::RecordEngine::kCryptoDevice) return;
  const config::CryptoDevice& config = tls.crypto_device;
  crypto_device_ = must(nic::CryptoDevice::open({.name = config.name, .args = config.args, .connections = config.connections},
                                                placement_.worker_numa_nodes));
  spdlog::info("crypto device {}: {}", config.name, crypto_device_text(crypto_device_->info()));
}

void Gateway::open_ports() {
  for (std::size_t i = 0; i < loaded_.machine.ports.size(); ++i) {
    const nic::Port& port = *ports_.emplace_back(must(open_port(loaded_.machine, i, *pool_)));
    const nic::PortInfo& info = port.info();
    spdlog::info("port {}: {}, {}, mtu {}, link {}, offloads by {}", info.name, info.driver, info.mac.to_string(), info.mtu,
                 link_text(port), offloads_text(info.offloads));
    for (const nic::RuleUse& rule : port.rules()) spdlog::info("port {}: rule {}", info.name, rule_text(rule));
  }
}

void Gateway::watch_links() {
  for (const auto& port : ports_) {
    const bool before = port->link_up();
    port->refresh_link();
    if (port->link_up() == before) continue;
    spdlog::log(before ? spdlog::level::warn : spdlog::level::info, "port {}: the link is {}", port->info().name,
                before ? "down: nothing can be sent or received there" : "up");
  }
}

void Gateway::serve_snapshots() {
  agent::SnapshotPublisher& publisher = *loaded_.publisher;
  if (!snapshots_started_) {
    snapshots_started_ = true;
    publisher.start_clusters(snapshots_);
  }
  publisher.follow_checks();
  if (!is_open_ && is_warm()) {
    is_open_ = true;
    publisher.open_listeners();
  }
  std::uint64_t oldest = std::numeric_limits<std::uint64_t>::max();
  for (const report::WorkerReport& report : reports_)
    oldest = std::min(oldest, static_cast<std::uint64_t>(report.snapshot_version.value()));
  publisher.collect(oldest);
}

bool Gateway::is_warm() const {
  return (xds_thread_ == nullptr || xds_thread_->client().is_warm()) && name_thread_->discovery().is_warm() &&
         key_set_thread_->is_warm() && loaded_.publisher->is_checked();
}

agent::LastGood Gateway::last_good() const {
  if (options_.snapshot_path.empty()) return {};
  auto read = agent::read_last_good(options_.snapshot_path);
  if (!read) {
    spdlog::error("snapshot: {}: nothing stands in for control planes that do not answer", read.error());
    return {};
  }
  if (read->empty()) {
    spdlog::info("snapshot: {} does not exist yet", options_.snapshot_path);
  } else if (read->node_id != loaded_.node->id()) {
    spdlog::warn("snapshot: {} was written for the node \"{}\", and this is \"{}\"", options_.snapshot_path, read->node_id,
                 loaded_.node->id());
  }
  return std::move(*read);
}

void Gateway::keep_last_good() {
  if (options_.snapshot_path.empty()) return;
  last_good_keeper_ = std::make_unique<agent::LastGoodKeeper>(agent::LastGoodPlan{.path = options_.snapshot_path,
                                                                                  .with_private_data = options_.snapshot_secrets,
                                                                                  .node_id = loaded_.node->id(),
                                                                                  .node_cluster = loaded_.node->cluster()},
                                                              *loaded_.publisher, *loaded_.discovered_secrets,
                                                              [this] { return xds_thread_->client().is_complete(); });
}

void Gateway::start_workers() {
  std::vector<report::WorkerReport*> reports;
  for (std::uint32_t i = 0; i < loaded_.machine.worker_count; ++i) {
    reports.push_back(&reports_.emplace_back(i, kLogRingBytes));
    reports.back()->core = placement_.worker_cpus[i];
    controls_.emplace_back();
  }
  log_writer_ = std::make_unique<agent::LogWriter>(loaded_.snapshot->log_sinks, reports);
  loaded_.publisher->open_sinks_with([this](const std::vector<config::LogSink>& sinks) { return log_writer_->open(sinks); });
  const std::uint16_t workers = static_cast<std::uint16_t>(loaded_.machine.worker_count);
  if (workers > 1) {
    steering_.emplace(rss_table(ports_, workers), all_rules(loaded_.machine));
    exchange_ = std::make_unique<worker::Exchange>(workers);
  }
  handshakes_ = std::make_unique<worker::HandshakeThreads>(loaded_.machine.tls.handshake_threads, workers);
  const std::uint64_t probe_nonce = random_secret<std::uint64_t>() >> 16;
  for (std::uint16_t i = 0; i < workers; ++i) {
    worker::WorkerThreadConfig config;
    config.worker.team = {.steering = steering_ ? &*steering_ : nullptr, .exchange = exchange_.get(), .index = i};
    for (std::size_t p = 0; p < ports_.size(); ++p) {
      config.worker.ports.push_back(worker::bind_port(*ports_[p], p, i, workers));
      ip::InterfaceConfig interface = interface_config(loaded_.machine, loaded_.machine.ports[p], ports_[p]->info());
      interface.silent = !config.worker.ports.back().speaks();
      interface.probe_nonce = probe_nonce;
      config.worker.interfaces.push_back(std::move(interface));
    }
    config.worker.routes = route_configs(loaded_.machine);
    config.worker.tcp = tcp_config(loaded_.machine.tcp);
    config.worker.seed = random_secret<std::uint64_t>();
    config.worker.secret = random_secret<std::array<std::uint8_t, 16>>();
    config.worker.hostname = hostname();
    config.worker.drain_time = Duration::seconds(options_.drain_time_seconds);
    config.worker.drain_gradually = !options_.drain_immediately;
    config.worker.tls = loaded_.machine.tls;
    config.worker.handshakes = &handshakes_->runner(i);
    config.worker.kernel = &kernels_.emplace_back(listen_sockets_);
    if (crypto_device_ != nullptr) {
      config.worker.device_engine = [this, i](std::unique_ptr<tls::RecordEngine> software) {
        return crypto_device_->make_engine(i, std::move(software));
      };
    }
    config.core = placement_.worker_cpus[i];
    config.idle = adaptive_ ? config::Dataplane::Idle::kAdaptive : loaded_.machine.idle;
    config.run_inside = [](const std::function<void()>& body) {
      const auto registered = nic::EalThread::register_current();
      if (!registered) spdlog::warn("{}: packets will be allocated more slowly", registered.error());
      body();
    };
    threads_.emplace_back(std::move(config), *pool_, snapshots_, controls_[i], reports_[i]);
  }
  for (worker::WorkerThread& thread : threads_) thread.start();
}

bool Gateway::serving() const {
  return std::ranges::all_of(controls_, [](const worker::Control& control) { return control.listening.load(); });
}

std::uint32_t Gateway::listeners_failed() const { return controls_.empty() ? 0 : controls_.front().listeners_failed.load(); }

void Gateway::report_host_listeners(bool at_start) {
  for (const auto& failure : listen_sockets_.take_failures()) {
    const std::string why = failure.where + ": " + std::strerror(failure.error);
    if (failure.is_half) {
      spdlog::warn("{}: a listener for all addresses is reached by the ports only, not from this host", why);
    } else if (at_start) {
      throw MachineError("a listener cannot be opened at " + why +
                         (failure.error == EADDRINUSE ? " (somebody else listens there)" : ""));
    } else {
      spdlog::error("a listener cannot be opened at {}", why);
    }
  }
}

bool Gateway::drain(std::chrono::seconds limit, const std::atomic<bool>& hurry) {
  draining_.store(true);
  for (worker::Control& control : controls_) control.wanted.store(worker::Lifecycle::kDraining, std::memory_order_relaxed);
  const auto deadline = std::chrono::steady_clock::now() + limit;
  const auto drained = [](const worker::Control& control) { return control.drained.load(); };
  while (!std::ranges::all_of(controls_, drained)) {
    if (hurry || quit_requested_ || std::chrono::steady_clock::now() > deadline) return false;
    watch_links();
    std::this_thread::sleep_for(kPollInterval);
  }
  return true;
}

void Gateway::drain_listeners(agent::ListenerDrain how) {
  using enum agent::ListenerDrain;
  spdlog::info("drain: {}", how == kClose      ? "listeners refuse new connections, those that exist stay"
                            : how == kGraceful ? "listeners refuse new connections, those that exist are asked to leave"
                                               : "connections are asked to leave, listeners go on accepting");
  if (how != kKeepListeners) draining_.store(true);
  for (worker::Control& control : controls_) {
    switch (how) {
      case kClose: control.close_listeners.store(true, std::memory_order_relaxed); break;
      case kGraceful: control.wanted.store(worker::Lifecycle::kDraining, std::memory_order_relaxed); break;
      case kKeepListeners: control.connections_leave.store(true, std::memory_order_relaxed); break;
    }
  }
}

void Gateway::fail_health_checks(bool fail) {
  if (health_checks_fail_.exchange(fail) != fail) spdlog::info("health checks {} on request", fail ? "fail" : "pass again");
  for (worker::Control& control : controls_) control.fails_health_checks.store(fail, std::memory_order_relaxed);
}

void Gateway::reopen_logs() {
  log_writer_->reopen();
  spdlog::info("logs reopened");
}

agent::ServerState Gateway::state() const {
  if (draining_) return agent::ServerState::kDraining;
  if (!is_open_) return agent::ServerState::kPreInitializing;
  if (serving() && health_checks_fail_) return agent::ServerState::kDraining;
  return serving() ? agent::ServerState::kLive : agent::ServerState::kInitializing;
}

std::string Gateway::version() const {
  const std::string text = kVersionText;
  return text.substr(text.find(": ") + 2);
}

std::chrono::seconds Gateway::uptime() const {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_);
}

agent::CommandLine Gateway::command_line() const {
  return {.concurrency = loaded_.machine.worker_count,
          .config_path = options_.config_path,
          .has_config_yaml = !options_.config_yaml.empty(),
          .allow_unknown_static_fields = options_.allow_unknown_static_fields,
          .reject_unknown_dynamic_fields = options_.reject_unknown_dynamic_fields,
          .log_level = options_.log_level,
          .log_path = options_.log_path,
          .service_cluster = options_.service_cluster,
          .service_node = options_.service_node,
          .drain_time = std::chrono::seconds(options_.drain_time_seconds),
          .drain_immediately = options_.drain_immediately};
}

std::vector<const report::WorkerReport*> Gateway::workers() const {
  std::vector<const report::WorkerReport*> list;
  for (const report::WorkerReport& report : reports_) list.push_back(&report);
  return list;
}

std::vector<agent::PortStat> Gateway::port_stats() const {
  std::vector<agent::PortStat> stats;
  for (const auto& port : ports_) {
    const nic::PortCounters counters = port->counters();
    const std::pair<const char*, std::uint64_t> values[] = {
        {"rx_packets", counters.rx_packets},  {"rx_bytes", counters.rx_bytes},         {"tx_packets", counters.tx_packets},
        {"tx_bytes", counters.tx_bytes},      {"rx_missed", counters.rx_missed},       {"rx_errors", counters.rx_errors},
        {"tx_errors", counters.tx_errors},    {"rx_no_buffer", counters.rx_no_buffer}, {"tx_dropped", counters.tx_dropped},
        {"rx_filtered", counters.rx_filtered}};
    for (const auto& [name, value] : values) stats.push_back({.port = port->info().name, .name = name, .value = value});
    stats.push_back({.port = port->info().name, .name = "link_up", .value = port->link_up(), .gauge = true});
  }
  return stats;
}

std::vector<agent::RuleStat> Gateway::rule_stats() const {
  std::map<std::string, nic::RuleUse> sums;
  for (const auto& port : ports_) {
    for (const nic::RuleUse& use : port->rules()) {
      if (!use.hits) continue;
      nic::RuleUse& sum = sums[use.name];
      sum.hits = sum.hits.value_or(0) + *use.hits;
      sum.dropped += use.dropped;
    }
  }
  std::vector<agent::RuleStat> stats;
  for (const auto& [name, sum] : sums) {
    stats.push_back({.rule = name, .name = "hits", .value = *sum.hits});
    stats.push_back({.rule = name, .name = "dropped", .value = sum.dropped});
  }
  return stats;
}

std::uint64_t Gateway::resident_bytes() const {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  statm >> all >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

nlohmann::ordered_json Gateway::ports() const {
  auto list = nlohmann::ordered_json::array();
  for (const auto& port : ports_) list.push_back(port_json(*port));
  nlohmann::ordered_json json = {{"huge_pages", eal_->huge_pages()}, {"ports", list}};
  if (crypto_device_ != nullptr) json["crypto_device"] = crypto_device_json(*crypto_device_);
  return json;
}

std::shared_ptr<const config::Snapshot> Gateway::snapshot() const { return loaded_.publisher->snapshot(); }

agent::SubscriptionTable Gateway::subscriptions() const {
  agent::SubscriptionTable out = loaded_.discovery->stats();
  if (xds_thread_ != nullptr) out.merge(xds_thread_->client().stats());
  return out;
}

agent::DynamicResources Gateway::dynamic_resources() const {
  agent::RefusedTable refused = loaded_.discovery->refused();
  std::vector<agent::DynamicResource> secrets;
  if (xds_thread_ != nullptr) {
    refused.merge(xds_thread_->client().refused());
    secrets = xds_thread_->client().secrets();
  }
  return agent::dynamic_resources(*loaded_.publisher->world(), subscriptions(), std::move(secrets), refused);
}

std::vector<agent::DiscoveryStat> Gateway::discovery_stats() const {
  auto out = agent::discovery_stats(*loaded_.publisher->world(), subscriptions(), name_thread_->discovery().stats());
  if (xds_thread_ == nullptr) return out;
  const auto add = [&](std::vector<agent::DiscoveryStat> stats) {
    out.insert(out.end(), std::make_move_iterator(stats.begin()), std::make_move_iterator(stats.end()));
  };
  if (loaded_.has_control_plane) {
    add(agent::control_plane_stats(xds_thread_->client().control_planes()));
    add(agent::unknown_field_stats(xds_thread_->client().unknown_fields()));
  }
  if (const auto reports = xds_thread_->client().load_reports()) add(agent::load_reporter_stats(*reports));
  if (last_good_keeper_ != nullptr) add(agent::last_good_stats(last_good_keeper_->stats()));
  return out;
}

std::vector<agent::RuntimeLayer> Gateway::runtime_layers() const { return loaded_.publisher->world()->runtime->layers; }

Result<void, std::string> Gateway::modify_runtime(const agent::RuntimeEntries& values) {
  return agent::override_runtime(*loaded_.publisher, values);
}

std::vector<std::string> Gateway::port_names() const {
  std::vector<std::string> names;
  for (const auto& port : ports_) names.push_back(port->info().name);
  return names;
}

agent::ConnectionList Gateway::connections(const report::ConnectionFilter& filter, std::optional<std::uint32_t> worker,
                                           std::size_t limit) {
  return ask_for_connections(controls_, filter, worker, limit);
}

Result<std::unique_ptr<agent::CaptureSession>, std::string> Gateway::start_capture(const report::CaptureOrder& order) {
  return begin_capture(controls_, captures_, order);
}

bool Gateway::set_log_level(const std::string& level) {
  const auto parsed = spdlog::level::from_str(level);
  if (parsed == spdlog::level::off && level != "off") return false;
  spdlog::set_level(parsed);
  return true;
}

std::string Gateway::log_level() const {
  const auto text = spdlog::level::to_string_view(spdlog::get_level());
  return {text.data(), text.size()};
}

}  // namespace millrace::app
