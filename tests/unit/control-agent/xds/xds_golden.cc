#include "tests/unit/control-agent/xds/xds_golden.h"

#include <map>
#include <sstream>
#include <utility>

#include "control-agent/scalars.h"
#include "tests/unit/control-agent/discovery/discovery_fixture.h"

namespace millrace::agent::test {
namespace {

constexpr std::string_view kIndent = "    ";

/// A cluster's or a filter chain's, by ADS.
std::string tls_socket(const std::string& direction, const std::string& secrets) {
  return "transport_socket: {name: tls, typed_config: {\"@type\": "
         "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3." +
         direction + "TlsContext, common_tls_context: {" + secrets + "}}}";
}
std::string by_ads(const std::string& secret) { return "{name: " + secret + ", sds_config: {ads: {}}}"; }

/// A certificate that can be trusted: what Istio's agent said once.
std::string authority_text(const std::string& name) {
  SecretMessage secret;
  EXPECT_TRUE(recorded("istio-agent-secrets-sotw").at(0).second.resources.at(0).body.UnpackTo(&secret));
  std::string lines;
  for (const char one : secret.validation_context().trusted_ca().inline_bytes())
    lines += one == '\n' ? "\\n" : std::string(1, one);
  return "name: " + name + ", validation_context: {trusted_ca: {inline_string: \"" + lines + "\"}}";
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

/// The fields of a resource that is written in short.
std::string expand(const std::string& detail) {
  const std::vector<std::string> words = words_of(detail);
  const auto at = [&](std::size_t index) { return index < words.size() ? words[index] : std::string(); };
  if (at(0) == "eds") return "name: " + at(1) + ", type: EDS, eds_cluster_config: {eds_config: {ads: {}}}";
  if (at(0) == "static") return static_cluster_text(at(1), words.size() > 2 ? at(2) : "198.18.0.1");
  if (at(0) == "tls") {
    return static_cluster_text(at(1), words.size() > 3 ? at(3) : "198.18.0.1") + ", " +
           tls_socket("Upstream", "validation_context_sds_secret_config: " + by_ads(at(2)));
  }
  if (at(0) == "probed") {
    return static_cluster_text(at(1), at(2)) +
           ", health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}]";
  }
  if (at(0) == "authority") return authority_text(at(1));
  if (at(0) == "secure") {
    std::string text =
        listener_text(at(1), std::stoi(at(2)), "rds: {route_config_name: " + at(3) + ", config_source: {ads: {}}}");
    return text.insert(text.size() - 2,
                       ", " + tls_socket("Downstream", "tls_certificate_sds_secret_configs: [" + by_ads(at(4)) + "]"));
  }
  if (at(0) == "endpoints") return endpoints_text(at(1), {words.begin() + 2, words.end()});
  if (at(0) == "routes") return routes_text(at(1), at(2));
  if (at(0) == "listener")
    return listener_text(at(1), std::stoi(at(2)), "rds: {route_config_name: " + at(3) + ", config_source: {ads: {}}}");
  if (!detail.starts_with('{') || !detail.ends_with('}')) ADD_FAILURE() << "no resource: " << detail;
  return detail.substr(1, detail.size() - 2);
}

XdsResource make_resource(ResourceType type, const std::string& fields, const std::string& version) {
  switch (type) {
    case ResourceType::kCluster: return named<ClusterMessage>("{" + fields + "}", version);
    case ResourceType::kAssignment: return named<AssignmentMessage>("{" + fields + "}", version);
    case ResourceType::kListener: return named<ListenerMessage>("{" + fields + "}", version);
    case ResourceType::kSecret: return named<SecretMessage>("{" + fields + "}", version);
    default: return named<RouteMessage>("{" + fields + "}", version);
  }
}

std::optional<ResourceType> type_of(const std::string& name) {
  for (const ResourceType type : {ResourceType::kCluster, ResourceType::kAssignment, ResourceType::kListener,
                                  ResourceType::kRoutes, ResourceType::kSecret}) {
    if (type_url(type).ends_with("." + name)) return type;
  }
  return std::nullopt;
}

std::string text_of(const WorldCluster& cluster) {
  const auto& assignment =
      cluster.assignment == nullptr ? cluster.source->message().load_assignment() : cluster.assignment->message();
  std::string out;
  for (const auto& locality : assignment.endpoints()) {
    for (const auto& endpoint : locality.lb_endpoints()) out += " " + endpoint.endpoint().address().socket_address().address();
  }
  return out.empty() ? " nowhere" : out;
}

std::string text_of(const WorldListener& listener) {
  std::string out = " " + std::to_string(listener.source->message().address().socket_address().port_value());
  for (const auto& [key, routes] : listener.routes) {
    if (routes != nullptr) out += " to " + routes->message().virtual_hosts(0).routes(0).route().cluster();
  }
  return out;
}

std::string text_of(const World& world) {
  std::map<std::string, std::string> clusters;
  for (const auto& [name, cluster] : world.clusters) clusters[name] = text_of(*cluster);
  std::string out;
  for (const auto& [name, where] : clusters) out += "; cluster " + name + where;
  for (const auto& [name, listener] : world.listeners) out += "; listener " + name + text_of(listener);
  for (const auto& [name, cluster] : world.warming_clusters) out += "; cluster " + name + " waits";
  for (const auto& [name, listener] : world.warming_listeners) out += "; listener " + name + " waits";
  return out;
}

}  // namespace

std::string GoldenPlayer::play(std::string_view script) {
  std::istringstream lines{std::string(script)};
  std::string input;
  std::vector<std::string> details;
  const auto finish = [&] {
    if (!input.empty()) run(std::exchange(input, {}), std::exchange(details, {}));
  };
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("> ") || line.starts_with("= ")) continue;
    if (line.starts_with(kIndent) && !input.empty()) {
      details.push_back(line.substr(kIndent.size()));
      text_ += line + "\n";
      continue;
    }
    finish();
    text_ += line + "\n";
    if (!line.empty() && !line.starts_with('#')) input = line;
  }
  finish();
  return text_;
}

void GoldenPlayer::run(const std::string& line, const std::vector<std::string>& details) {
  const std::vector<std::string> words = words_of(line);
  if (words[0] == "start") {
    is_delta_ = words.at(1) == "delta";
    conversation_.emplace(is_delta_);
    conversation_->start_checks();
  } else if (!conversation_) {
    ADD_FAILURE() << "before the start: " << line;
    return;
  } else if (words[0] == "<") {
    answer(line, details);
  } else if (words[0] == "checked" && words.size() == 2) {
    conversation_->check(words[1]);
  } else if (words[0] == "end") {
    conversation_->transport().end(line.substr(4));
    conversation_->service();
  } else if (const auto time = parse_duration(words.size() == 2 ? words[1] : ""); words[0] == "pass" && time) {
    conversation_->pass(Duration::seconds(time->seconds) + Duration::nanoseconds(time->nanos));
  } else {
    ADD_FAILURE() << "cannot be understood: " << line;
  }
  write_output();
}

void GoldenPlayer::answer(const std::string& head, const std::vector<std::string>& details) {
  const std::vector<std::string> words = words_of(head);
  const auto type = words.size() == 4 ? type_of(words[1]) : std::nullopt;
  if (!type || !words[2].starts_with("v=") || !words[3].starts_with("n=")) {
    ADD_FAILURE() << "no response: " << head;
    return;
  }
  XdsResponse said = response(*type, words[2].substr(2), words[3].substr(2));
  said.is_delta = is_delta_;
  for (const std::string& detail : details) {
    if (detail.starts_with("- ")) {
      said.removed.push_back(detail.substr(2));
    } else {
      said.resources.push_back(make_resource(*type, expand(detail), said.version));
    }
  }
  conversation_->transport().answer(std::move(said));
  conversation_->service();
}

void GoldenPlayer::write_output() {
  ScriptedTransport& transport = conversation_->transport();
  for (; opened_ < transport.opened.size(); ++opened_) text_ += "> open " + transport.opened[opened_].method + "\n";
  for (const std::string& request : transport.requests()) text_ += "> " + request + "\n";
  std::string state = (conversation_->is_warm() ? "serving" : "starting") + text_of(*conversation_->world());
  if (state == state_) return;
  state_ = std::move(state);
  text_ += "= " + state_ + "\n";
}

}  // namespace millrace::agent::test
