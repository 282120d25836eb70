#include "control-agent/admin/admin_server.h"

#include <httplib.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>

#include "control-agent/admin/capture_page.h"
#include "control-agent/admin/config_dump.h"
#include "control-agent/admin/connections_page.h"
#include "control-agent/admin/counter_reset.h"
#include "control-agent/admin/messages.h"
#include "control-agent/admin/operations.h"
#include "control-agent/admin/pages.h"
#include "control-agent/admin/stats.h"
#include "control-agent/diagnostics.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {
namespace {

using httplib::Request;
using httplib::Response;

constexpr char kJson[] = "application/json";
constexpr char kPlain[] = "text/plain; charset=UTF-8";
constexpr char kPrometheus[] = "text/plain; version=0.0.4; charset=utf-8";

void send_text(Response& response, const std::string& text, int status = 200) {
  response.status = status;
  response.set_content(text, kPlain);
}

void send_json(Response& response, const std::string& text) { response.set_content(text, kJson); }

void send(Response& response, const Answer& answer) { send_text(response, answer.text, answer.status); }

bool wants_json(const Request& request) { return request.get_param_value("format") == "json"; }

std::optional<std::string> optional_parameter(const Request& request, const char* name) {
  return request.has_param(name) ? std::optional(request.get_param_value(name)) : std::nullopt;
}

std::string parameter(const Request& request, const char* name, const std::string& otherwise) {
  return request.has_param(name) ? request.get_param_value(name) : otherwise;
}

// The configuration was checked before.
StatsSettings settings_of(const GatewayView& gateway) {
  Diagnostics diagnostics;
  return translate_stats(gateway.bootstrap(), diagnostics);
}

}  // namespace

std::string_view to_text(ServerState state) {
  switch (state) {
    case ServerState::kLive: return "LIVE";
    case ServerState::kDraining: return "DRAINING";
    case ServerState::kPreInitializing: return "PRE_INITIALIZING";
    case ServerState::kInitializing: return "INITIALIZING";
  }
  return "UNKNOWN";
}

struct AdminServer::Implementation {
  explicit Implementation(GatewayView& view) : gateway(view), settings(settings_of(view)) {
    // The library gives each connection a thread: many threads and short waits keep clients that say nothing from locking others
    // out.
    server.new_task_queue = [] { return new httplib::ThreadPool(32); };
    server.set_keep_alive_max_count(100);
    server.set_keep_alive_timeout(1);
    server.set_read_timeout(2);
    // A client that reads nothing may delay the end of the process by some times that.
    server.set_write_timeout(2);
    server.set_payload_max_length(64 * 1024);
    // The library's default, SO_REUSEPORT, would let two gateways share one admin address without a word.
    server.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    add_pages();
  }

  using Page = std::function<void(const Request&, Response&)>;

  /// A page that only shows: any method will do, as in Envoy. Its description stands in /help.
  void show(const std::string& path, const std::string& description, Page page) {
    help[path] = description;
    pages[path] = page;
    server.Get(path, page);
    server.Post(path, std::move(page));
  }
  /// A page that changes something: POST only, as in Envoy.
  void act(const std::string& path, const std::string& description, Page page) {
    help[path + " (POST)"] = description;
    pages[path] = page;
    mutating.insert(path);
    server.Post(path, std::move(page));
  }

  void add_pages() {
    add_state_pages();
    add_configuration_pages();
    add_own_pages();
    add_actions();
    server.set_default_headers({{"Cache-Control", "no-cache, max-age=0"}, {"X-Content-Type-Options", "nosniff"}});
    server.set_pre_routing_handler([this](const Request& request, Response& response) { return route_first(request, response); });
    const auto list = [this](const Request&, Response& response) { send_text(response, help_text()); };
    show("/help", "this list", list);
    show("/", "this list", list);
    server.set_error_handler([this](const Request&, Response& response) {
      if (response.status == 404 && response.body.empty()) send_text(response, "invalid path. " + help_text(), 404);
    });
  }

  void add_state_pages() {
    show("/ready", "LIVE when the gateway serves, else 503", [this](const Request&, Response& response) {
      const ServerState state = gateway.state();
      send_text(response, std::string(to_text(state)) + "\n", state == ServerState::kLive ? 200 : 503);
    });
    show("/server_info", "version, state, command line", [this](const Request&, Response& response) {
      send_json(response, print_json(server_info_message(gateway), Defaults::kShown));
    });
    show("/memory", "what the heap holds", [this](const Request&, Response& response) {
      send_json(response, print_json(memory_message(gateway), Defaults::kShown));
    });
    show("/contention", "contention of mutexes: not traced", [](const Request&, Response& response) {
      send_text(response, "Mutex contention tracing is not enabled: workers share no locks.\n");
    });
    show("/hot_restart_version", "disabled: there is no hot restart",
         [](const Request&, Response& response) { send_text(response, kHotRestartVersion); });
    show("/stats",
         "statistics: format=text|json|prometheus, filter=REGEX, usedonly, type=Counters|Gauges|Histograms|TextReadouts|All, "
         "histogram_buckets=none|cumulative|disjoint|detailed",
         [this](const Request& request, Response& response) { stats(request, response, request.get_param_value("format")); });
    show("/stats/prometheus", "statistics in Prometheus's text format: filter=REGEX, usedonly, text_readouts",
         [this](const Request& request, Response& response) { stats(request, response, "prometheus"); });
    show("/clusters", "clusters and their endpoints: format=json", [this](const Request& request, Response& response) {
      const auto snapshot = gateway.snapshot();
      if (!wants_json(request)) return send_text(response, clusters_text(*snapshot));
      const auto services = service_names(gateway.bootstrap(), gateway.dynamic_resources());
      send_json(response, print_json(clusters_message(*snapshot, services), Defaults::kLeftOut));
    });
    show("/listeners", "listeners and their addresses: format=json", [this](const Request& request, Response& response) {
      const auto snapshot = gateway.snapshot();
      if (!wants_json(request)) return send_text(response, listeners_text(*snapshot));
      send_json(response, print_json(listeners_message(*snapshot), Defaults::kLeftOut));
    });
    show("/certs", "certificates of the gateway and the authorities that it trusts", [this](const Request&, Response& response) {
      const auto certificates = certificates_message(gateway.secrets().contexts(), std::chrono::system_clock::now());
      send_json(response, print_json(certificates, Defaults::kShown));
    });
  }

  void add_configuration_pages() {
    show("/config_dump", "the configuration that runs: resource=FIELD, mask=FIELDMASK, name_regex=REGEX, include_eds",
         [this](const Request& request, Response& response) {
           const auto dump = config_dump(gateway, {.resource = optional_parameter(request, "resource"),
                                                   .mask = optional_parameter(request, "mask"),
                                                   .name_regex = request.get_param_value("name_regex"),
                                                   .include_eds = request.has_param("include_eds")});
           if (!dump) return send_text(response, dump.error().text, dump.error().status);
           send_json(response, print_json(*dump, Defaults::kLeftOut));
         });
    show("/init_dump", "what listeners wait for: mask=listener", [this](const Request& request, Response& response) {
      send_json(response, print_json(init_dump(gateway, optional_parameter(request, "mask")), Defaults::kLeftOut));
    });
    show("/runtime", "values of layered_runtime, layer by layer", [this](const Request&, Response& response) {
      send_json(response, runtime_json(gateway.runtime_layers()).dump(1) + "\n");
    });
  }

  void add_own_pages() {
    show("/millrace/nic", "ports: what each offers, what is used",
         [this](const Request&, Response& response) { send_json(response, gateway.ports().dump(1) + "\n"); });
    show("/millrace/connections",
         "TCP connections: state=STATE[,STATE], local=, peer=ADDRESS[:PORT]|NETWORK, port=, worker=, limit=N, format=json",
         [this](const Request& request, Response& response) { connections(request, response); });
    show("/millrace/pcap", "frames as a pcap stream: port=NAME, filter=TCPDUMP-EXPRESSION, seconds=N, packets=N, snaplen=BYTES",
         [this](const Request& request, Response& response) { capture(request, response); });
  }

  void add_actions() {
    act("/quitquitquit", "exit without a drain", [this](const Request&, Response& response) {
      send(response, {});
      gateway.quit();
    });
    act("/drain_listeners",
        "refuse new connections: graceful also asks those that exist to leave; graceful&skip_exit only asks; inboundonly",
        [this](const Request& request, Response& response) { send(response, drain_listeners(gateway, request.params)); });
    act("/healthcheck/fail", "/ready fails, and the state is DRAINING", [this](const Request&, Response& response) {
      gateway.fail_health_checks(true);
      send(response, {});
    });
    act("/healthcheck/ok", "takes /healthcheck/fail back", [this](const Request&, Response& response) {
      gateway.fail_health_checks(false);
      send(response, {});
    });
    act("/logging", "shows levels, or sets them: level=LEVEL, NAME=LEVEL, paths=NAME:LEVEL,...",
        [this](const Request& request, Response& response) { send(response, change_logging(gateway, request.params)); });
    act("/reopen_logs", "opens access logs and the log file again", [this](const Request&, Response& response) {
      gateway.reopen_logs();
      send(response, {});
    });
    act("/reset_counters", "all counters count from zero again", [this](const Request&, Response& response) {
      counters.reset(collect_stats(gateway));
      send(response, {});
    });
    act("/runtime_modify", "sets values of the admin_layer: KEY=VALUE&...; an empty VALUE takes one out",
        [this](const Request& request, Response& response) { send(response, modify_runtime(gateway, request.params)); });
  }

  httplib::Server::HandlerResponse route_first(const Request& request, Response& response) {
    const auto page = pages.find(request.path);
    if (page == pages.end()) return httplib::Server::HandlerResponse::Unhandled;
    if (mutating.contains(request.path) && request.method != "POST") {
      response.set_header("allow", "POST");
      send_text(response, "Method " + request.method + " not allowed, POST required.", 405);
      return httplib::Server::HandlerResponse::Handled;
    }
    // `curl -X POST` sends neither length nor body. The library would wait for a body until its time-out: such a request is ours.
    if (request.method != "POST" || request.has_header("Content-Length") || request.has_header("Transfer-Encoding"))
      return httplib::Server::HandlerResponse::Unhandled;
    page->second(request, response);
    return httplib::Server::HandlerResponse::Handled;
  }

  std::string help_text() const {
    std::string text = "admin commands are:\n";
    for (const auto& [path, description] : help) text += "  " + path + ": " + description + "\n";
    return text;
  }

  void connections(const Request& request, Response& response) {
    const auto wanted = parse_connections_request(request.params, gateway.workers().size());
    if (!wanted) return send_text(response, wanted.error() + "\n", 400);
    const ConnectionList list = gateway.connections(wanted->filter, wanted->worker, wanted->limit);
    const std::size_t asked = wanted->worker ? 1 : gateway.workers().size();
    response.status = list.silent.size() == asked ? 503 : 200;
    response.set_content(wanted->json ? connections_json(list) : connections_text(list),
                         wanted->json ? "application/json" : kPlain);
  }

  void capture(const Request& request, Response& response) {
    auto wanted = parse_capture_request(request.params, gateway.port_names());
    if (!wanted) return send_text(response, wanted.error() + "\n", 400);
    auto session = gateway.start_capture(wanted->order);
    if (!session) return send_text(response, session.error() + "\n", 503);
    const auto stream = std::make_shared<CaptureStream>(std::move(*wanted), std::move(*session));
    response.set_chunked_content_provider("application/vnd.tcpdump.pcap",
                                          [this, stream, part = std::string()](std::size_t, httplib::DataSink& sink) mutable {
                                            const bool more = stream->next(part) && !stopping.load();
                                            // Nothing to write: has the client gone?
                                            if (part.empty() ? !sink.is_writable() : !sink.write(part.data(), part.size()))
                                              return false;
                                            if (!more) sink.done();
                                            return true;
                                          });
  }

  void stats(const Request& request, Response& response, const std::string& format) {
    const auto mode = parse_bucket_mode(request.get_param_value("histogram_buckets"));
    if (!mode) return send_text(response, "usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|none)\n", 400);
    std::vector<Stat> all = collect_stats(gateway);
    counters.apply(all);
    apply_settings(settings, all);
    const StatFilter filter{.expression = request.get_param_value("filter"),
                            .used_only = request.has_param("usedonly"),
                            .type = parameter(request, "type", "All")};
    std::string error;
    if (!apply_filter(filter, all, error)) return send_text(response, error + "\n", 400);
    if (format.empty() || format == "text") return send_text(response, to_plain_text(all, *mode));
    if (format == "json") return send_json(response, to_json(all, *mode).dump(1) + "\n");
    if (format != "prometheus")
      return send_text(response, "usage: /stats?format=(json|prometheus|text), not \"" + format + "\"\n", 400);
    apply_tags(settings, all);
    response.set_content(to_prometheus(all, request.has_param("text_readouts")), kPrometheus);
  }

  GatewayView& gateway;
  std::atomic<bool> stopping{false};
  const StatsSettings settings;
  CounterReset counters;
  std::map<std::string, std::string> help;
  std::map<std::string, Page> pages;
  std::set<std::string> mutating;
  httplib::Server server;
  std::thread thread;
};

AdminServer::AdminServer(const SocketAddress& address, GatewayView& gateway)
    : implementation_(std::make_unique<Implementation>(gateway)) {
  if (!implementation_->server.bind_to_port(address.ip.to_string(), address.port)) {
    throw std::runtime_error("the admin server cannot listen on " + address.to_string() + ": " + std::strerror(errno) +
                             "; choose another admin.address in the bootstrap, or stop what uses it");
  }
  implementation_->thread = std::thread([this] {
    pthread_setname_np(pthread_self(), "mr-admin");
    implementation_->server.listen_after_bind();
  });
}

AdminServer::~AdminServer() {
  // stop() before the thread has reached its accept loop would have no effect.
  while (!implementation_->server.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  implementation_->stopping.store(true);
  implementation_->server.stop();
  implementation_->thread.join();
}

}  // namespace millrace::agent
