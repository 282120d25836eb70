// A transport that tests script, and texts of the requests that were sent.
#pragma once

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control-agent/bootstrap_loader.h"
#include "control-agent/loader.h"
#include "control-agent/tls_secrets.h"
#include "control-agent/xds/transport.h"
#include "control-agent/xds/xds_client.h"

namespace millrace::agent::test {

class ScriptedTransport final : public XdsTransport {
 public:
  struct Opened {
    XdsStreamId id;
    std::string server;
    std::string method;
    bool closed = false;
  };

  XdsStreamId open(const XdsServer& server, const std::string& method, XdsProtocol) override {
    opened.push_back({.id = ++last_, .server = server.name, .method = method});
    return last_;
  }
  XdsStreamId open_load_reports(const XdsServer& server) override {
    opened.push_back({.id = ++last_, .server = server.name, .method = "load reports"});
    return last_;
  }
  void send(XdsStreamId stream, XdsRequest request) override { sent.emplace_back(stream, std::move(request)); }
  void close(XdsStreamId stream) override {
    for (Opened& one : opened) one.closed = one.closed || one.id == stream;
  }
  std::vector<XdsStreamEvent> take_events() override { return std::exchange(events, {}); }

  /// The requests since the last call, each on one line: "Cluster v=1 n=2 names=a,b", "Cluster +a -b n=2 error".
  std::vector<std::string> requests() {
    std::vector<std::string> out;
    for (const auto& [stream, request] : sent) out.push_back(to_text(*request));
    sent.clear();
    return out;
  }
  void end(const std::string& reason) { events.push_back({.stream = last_, .what = XdsStreamClosed{reason}}); }
  void answer(XdsResponse response) { events.push_back({.stream = last_, .what = std::move(response)}); }
  /// On the stream of the response's type, if it has one of its own, else on the aggregated one; in the form of that stream.
  void answer_by_type(XdsResponse response) {
    const auto type = resource_type(response.type_url);
    const Opened* stream = nullptr;
    for (const Opened& one : opened) {
      const bool own = type && (one.method == discovery_method(*type, XdsProtocol::kDelta) ||
                                one.method == discovery_method(*type, XdsProtocol::kStateOfTheWorld));
      if (own || (stream == nullptr && one.method.find("Aggregated") != std::string::npos)) stream = &one;
    }
    if (stream == nullptr) return;
    response.is_delta = stream->method.find("/Delta") != std::string::npos;
    if (!response.is_delta) response.removed.clear();
    events.push_back({.stream = stream->id, .what = std::move(response)});
  }

  static std::string to_text(const google::protobuf::Message& message) {
    namespace discovery = envoy::service::discovery::v3;
    const auto short_type = [](const std::string& url) { return url.substr(url.rfind('.') + 1); };
    if (const auto* sotw = dynamic_cast<const discovery::DiscoveryRequest*>(&message)) {
      std::string out = short_type(sotw->type_url());
      if (!sotw->version_info().empty()) out += " v=" + sotw->version_info();
      if (!sotw->response_nonce().empty()) out += " n=" + sotw->response_nonce();
      for (const std::string& name : sotw->resource_names()) out += " " + name;
      if (sotw->has_error_detail()) out += " error: " + sotw->error_detail().message();
      return out + (sotw->has_node() ? " node" : "");
    }
    const auto& delta = dynamic_cast<const discovery::DeltaDiscoveryRequest&>(message);
    std::string out = short_type(delta.type_url());
    for (const std::string& name : delta.resource_names_subscribe()) out += " +" + name;
    for (const std::string& name : delta.resource_names_unsubscribe()) out += " -" + name;
    const std::map<std::string, std::string> held(delta.initial_resource_versions().begin(),
                                                  delta.initial_resource_versions().end());
    for (const auto& [name, version] : held) out += " " + name + "@" + version;
    if (!delta.response_nonce().empty()) out += " n=" + delta.response_nonce();
    if (delta.has_error_detail()) out += " error: " + delta.error_detail().message();
    return out + (delta.has_node() ? " node" : "");
  }

  std::vector<Opened> opened;
  std::vector<std::pair<XdsStreamId, XdsRequest>> sent;
  std::vector<XdsStreamEvent> events;

 private:
  XdsStreamId last_ = 0;
};

/// A resource of a response, from YAML.
template <typename Message>
XdsResource resource(const std::string& name, const std::string& yaml, const std::string& version = {}) {
  Message message;
  SourceMap places;
  Diagnostics diagnostics(&places);
  EXPECT_TRUE(parse_text(yaml, "test", {}, message, places, diagnostics)) << yaml;
  for (const auto& error : diagnostics.errors()) ADD_FAILURE() << error.to_string();
  XdsResource out{.name = name, .version = version, .body = {}, .has_body = true, .ttl = {}};
  out.body.PackFrom(message);
  return out;
}

/// The same under the name that the message itself has.
template <typename Message>
XdsResource named(const std::string& yaml, const std::string& version) {
  XdsResource out = resource<Message>({}, yaml, version);
  Message message;
  out.body.UnpackTo(&message);
  if constexpr (requires { message.name(); }) {
    out.name = message.name();
  } else {
    out.name = message.cluster_name();
  }
  return out;
}

inline XdsResponse response(ResourceType type, const std::string& version, const std::string& nonce,
                            std::vector<XdsResource> resources = {}, std::vector<std::string> removed = {}) {
  return {.type_url = std::string(type_url(type)),
          .version = version,
          .nonce = nonce,
          .resources = std::move(resources),
          .removed = std::move(removed),
          .is_delta = false};
}
inline XdsResponse delta(XdsResponse response) {
  response.is_delta = true;
  return response;
}

/// Of a gateway with one worker; nothing: the test has failed.
inline std::optional<Loaded> load_bootstrap(const std::string& yaml) {
  LoadOptions options;
  options.config_yaml = yaml;
  options.concurrency = 1;
  auto loaded = load(options);
  if (loaded) return std::move(*loaded);
  for (const auto& error : loaded.error()) ADD_FAILURE() << error.to_string();
  return std::nullopt;
}

/// The client of what was loaded; both outlive it.
inline std::unique_ptr<XdsClient> make_client(const Loaded& loaded, XdsTransport& transport, bool reject_unknown_fields = false,
                                              LastGood last_good = {}) {
  return std::make_unique<XdsClient>(XdsSurroundings{.bootstrap = *loaded.bootstrap,
                                                     .node = *loaded.node,
                                                     .publisher = *loaded.publisher,
                                                     .secrets = *loaded.secrets,
                                                     .discovered = *loaded.discovered_secrets,
                                                     .transport = transport,
                                                     .reject_unknown_fields = reject_unknown_fields},
                                     1, std::move(last_good));
}

/// Time passes: what is due happens in its order.
inline void pass(XdsClient& client, Instant& now, Duration time) {
  const Instant end = now + time;
  while (client.next_timeout() < end) {
    now = std::max(now + Duration::nanoseconds(1), client.next_timeout());
    client.service(now);
  }
  now = end;
  client.service(now);
}

}  // namespace millrace::agent::test
