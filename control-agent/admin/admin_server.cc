#include "control-agent/admin/admin_server.h"

#include <httplib.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <stdexcept>
#include <thread>

#include "control-agent/admin/capture_page.h"
#include "control-agent/admin/connections_page.h"
#include "control-agent/admin/pages.h"
#include "control-agent/admin/stats.h"

namespace millrace::agent {
namespace {

using httplib::Request;
using httplib::Response;
using Json = nlohmann::ordered_json;

constexpr char kPlain[] = "text/plain; charset=UTF-8";
constexpr char kPrometheus[] = "text/plain; version=0.0.4; charset=utf-8";

void send_text(Response& response, const std::string& text, int status = 200) {
  response.status = status;
  response.set_content(text, kPlain);
}

void send_json(Response& response, const Json& json) { response.set_content(json.dump(1) + "\n", "application/json"); }

bool wants_json(const Request& request) { return request.get_param_value("format") == "json"; }

std::string parameter(const Request& request, const char* name, const std::string& otherwise) {
  return request.has_param(name) ? request.get_param_value(name) : otherwise;
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
  explicit Implementation(GatewayView& view) : gateway(view) {
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

  /// A page that only shows; its description stands in /help.
  void show(const char* path, const char* description, std::function<void(const Request&, Response&)> page) {
    help[path] = description;
    server.Get(path, std::move(page));
  }
  /// A page that changes something: POST only, as in Envoy.
  void act(const char* path, const char* description, std::function<void(const Request&, Response&)> page) {
    help[path] = std::string(description) + " (POST)";
    actions[path] = page;
    server.Post(path, std::move(page));
    server.Get(path, [path](const Request&, Response& response) {
      response.set_header("allow", "POST");
      send_text(response, std::string("Method Not Allowed: ") + path + " changes the gateway, use POST\n", 405);
    });
  }

  void add_pages() {
    show("/ready", "LIVE when the gateway serves, else 503", [this](const Request&, Response& response) {
      const ServerState state = gateway.state();
      send_text(response, std::string(to_text(state)) + "\n", state == ServerState::kLive ? 200 : 503);
    });
    show("/stats", "statistics: format=json|prometheus, filter=REGEX, usedonly, type=Counters|Gauges|Histograms",
         [this](const Request& request, Response& response) { stats(request, response, request.get_param_value("format")); });
    show("/stats/prometheus", "statistics in Prometheus's text format",
         [this](const Request& request, Response& response) { stats(request, response, "prometheus"); });
    show("/clusters", "clusters and their endpoints: format=json", [this](const Request& request, Response& response) {
      const auto snapshot = gateway.snapshot();
      wants_json(request) ? send_json(response, clusters_json(*snapshot)) : send_text(response, clusters_text(*snapshot));
    });
    show("/listeners", "listeners and their addresses: format=json", [this](const Request& request, Response& response) {
      const auto snapshot = gateway.snapshot();
      wants_json(request) ? send_json(response, listeners_json(*snapshot)) : send_text(response, listeners_text(*snapshot));
    });
    show("/certs", "certificates of the gateway and the authorities that it trusts", [this](const Request&, Response& response) {
      send_json(response, certificates_json(gateway.secrets().contexts(), std::chrono::system_clock::now()));
    });
    show("/config_dump", "the configuration that runs; include_eds: endpoints, too",
         [this](const Request& request, Response& response) {
           send_json(response, config_dump_json(gateway, request.has_param("include_eds")));
         });
    show("/server_info", "version, state, command line",
         [this](const Request&, Response& response) { send_json(response, server_info_json(gateway)); });
    show("/millrace/nic", "ports: what each offers, what is used",
         [this](const Request&, Response& response) { send_json(response, gateway.ports()); });
    show("/millrace/connections",
         "TCP connections: state=STATE[,STATE], local=, peer=ADDRESS[:PORT]|NETWORK, port=, worker=, limit=N, format=json",
         [this](const Request& request, Response& response) { connections(request, response); });
    show("/millrace/pcap", "frames as a pcap stream: port=NAME, filter=TCPDUMP-EXPRESSION, seconds=N, packets=N, snaplen=BYTES",
         [this](const Request& request, Response& response) { capture(request, response); });
    act("/quitquitquit", "exit without a drain", [this](const Request&, Response& response) {
      send_text(response, "OK\n");
      gateway.quit();
    });
    act("/drain_listeners", "refuse new connections: graceful also asks those that exist to leave",
        [this](const Request& request, Response& response) {
          gateway.drain_listeners(request.has_param("graceful"));
          send_text(response, "OK\n");
        });
    act("/logging", "level=LEVEL sets the log level; without it, shows it", [this](const Request& request, Response& response) {
      const std::string level = request.get_param_value("level");
      if (!level.empty() && !gateway.set_log_level(level)) {
        send_text(response, "unknown log level \"" + level + "\": trace, debug, info, warning, error, critical or off\n", 400);
        return;
      }
      send_text(response, "active log level: " + gateway.log_level() + "\n");
    });
    // `curl -X POST` sends neither length nor body. The library would wait for a body until its time-out: such a request is ours.
    server.set_pre_routing_handler([this](const Request& request, Response& response) {
      const auto action = actions.find(request.path);
      if (request.method != "POST" || action == actions.end() || request.has_header("Content-Length") ||
          request.has_header("Transfer-Encoding")) {
        return httplib::Server::HandlerResponse::Unhandled;
      }
      action->second(request, response);
      return httplib::Server::HandlerResponse::Handled;
    });
    const auto list = [this](const Request&, Response& response) {
      std::string text = "admin commands are:\n";
      for (const auto& [path, description] : help) text += "  " + path + ": " + description + "\n";
      send_text(response, text);
    };
    show("/help", "this list", list);
    server.Get("/", list);
    server.set_error_handler([](const Request& request, Response& response) {
      if (response.status == 404)
        send_text(response, "invalid path " + request.path + ". /help lists the admin commands.\n", 404);
    });
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
    std::vector<Stat> all = collect_stats(gateway);
    const StatFilter filter{.expression = request.get_param_value("filter"),
                            .used_only = request.has_param("usedonly"),
                            .type = parameter(request, "type", "All")};
    std::string error;
    if (!apply_filter(filter, all, error)) return send_text(response, error + "\n", 400);
    if (format.empty() || format == "text") return send_text(response, to_plain_text(all));
    if (format == "json") return send_json(response, to_json(all));
    if (format == "prometheus") return response.set_content(to_prometheus(all), kPrometheus);
    send_text(response, "format must be text, json or prometheus, not \"" + format + "\"\n", 400);
  }

  GatewayView& gateway;
  std::atomic<bool> stopping{false};
  std::map<std::string, std::string> help;
  std::map<std::string, std::function<void(const Request&, Response&)>> actions;
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
