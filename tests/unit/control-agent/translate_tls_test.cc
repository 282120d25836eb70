// Transport sockets from the bootstrap to the snapshot: which endpoint gets which, what is refused, and what is never shown.
#include "control-agent/translate_tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "control-agent/field_table.h"
#include "control-agent/validate_rules.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "tests/unit/control-agent/config_fixture.h"
#include "tests/unit/control-agent/tls_files.h"
#include "tls/context_slot.h"

namespace millrace::agent {
namespace {

using test::BootstrapText;
using test::Directory;
using test::errors_of;
using test::KeyPair;
using test::load_text;
using test::make_pair;
using test::quoted;
using test::snapshot_of;
using testing::Contains;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

const std::string kApi = "type.googleapis.com/envoy.extensions.transport_sockets.";
const std::string kRaw = "{name: raw, typed_config: {\"@type\": " + kApi + "raw_buffer.v3.RawBuffer}}";

std::string certificates(const KeyPair& pair) {
  return "tls_certificates: [{certificate_chain: {inline_string: " + quoted(pair.chain) +
         "}, private_key: {inline_string: " + quoted(pair.key) + "}}]";
}
std::string downstream(const std::string& common, const std::string& more = "") {
  return ", transport_socket: {name: tls, typed_config: {\"@type\": " + kApi +
         "tls.v3.DownstreamTlsContext, common_tls_context: {" + common + "}" + more + "}}";
}
std::string upstream(const std::string& sni) {
  return "{name: tls, typed_config: {\"@type\": " + kApi + "tls.v3.UpstreamTlsContext, sni: " + sni + "}}";
}
/// One endpoint with this metadata under the filter that counts.
std::string endpoint(int last, const std::string& metadata) {
  return "{endpoint: {address: {socket_address: {address: 198.18.0." + std::to_string(last) +
         ", port_value: 8080}}}, metadata: {filter_metadata: {" + metadata + "}}}";
}

TEST(TranslateTls_Listener, HasAContextInItsSlot) {
  BootstrapText text;
  text.chain = downstream(certificates(make_pair("one"))) + ", transport_socket_connect_timeout: 3s";
  const auto loaded = load_text(text);
  ASSERT_TRUE(loaded) << loaded.error().at(0).to_string();
  const auto& chain = loaded->snapshot->listeners.at(0)->chains.at(0);
  ASSERT_NE(chain.tls, nullptr);
  EXPECT_EQ(chain.tls->current()->role(), tls::Role::kServer);
  EXPECT_EQ(chain.tls->current()->certificates().at(0).subject, "CN=one");
  EXPECT_EQ(chain.transport_socket_connect_timeout, Duration::seconds(3));
  EXPECT_THAT(loaded->secrets->contexts(), SizeIs(1));
}

TEST(TranslateTls_Listener, FollowsItsFiles) {
  const Directory directory;
  const auto one = make_pair("one");
  const auto two = make_pair("two");
  BootstrapText text;
  text.chain = downstream("tls_certificates: [{certificate_chain: {filename: " + directory.write("tls.crt", one.chain) +
                          "}, private_key: {filename: " + directory.write("tls.key", one.key) + "}}]");
  const auto loaded = load_text(text);
  ASSERT_TRUE(loaded);
  directory.write("tls.key", two.key);
  const auto refused = loaded->secrets->refresh();
  ASSERT_THAT(refused, SizeIs(1));
  EXPECT_EQ(refused[0].name, "static_resources.listeners[0].filter_chains[0].transport_socket");
  EXPECT_THAT(refused[0].error, HasSubstr("tls_certificates[0].private_key: the file \"" + directory.path("tls.key") + "\": "));
  directory.write("tls.crt", two.chain);
  EXPECT_EQ(loaded->secrets->refresh().at(0).error, "");
  EXPECT_EQ(loaded->snapshot->listeners.at(0)->chains.at(0).tls->current()->certificates().at(0).subject, "CN=two");
}

TEST(TranslateTls_Listener, IsPlainWithoutASocketAndWithARawBuffer) {
  EXPECT_EQ(snapshot_of({})->listeners.at(0)->chains.at(0).tls, nullptr);
  BootstrapText text;
  text.chain = ", transport_socket: " + kRaw;
  EXPECT_EQ(snapshot_of(text)->listeners.at(0)->chains.at(0).tls, nullptr);
  text.chain = ", transport_socket: {name: envoy.transport_sockets.raw_buffer}";
  EXPECT_EQ(snapshot_of(text)->listeners.at(0)->chains.at(0).tls, nullptr);
}

TEST(TranslateTls_Listener, RefusesOtherSocketsByName) {
  BootstrapText text;
  text.chain = ", transport_socket: {name: other}";
  EXPECT_THAT(errors_of(text),
              ElementsAre(EndsWith("transport_socket.typed_config: must be set: a RawBuffer or a DownstreamTlsContext")));
  text.chain = ", transport_socket: " + upstream("a");
  EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("UpstreamTlsContext\" is not supported here: use a RawBuffer or a "
                                                     "DownstreamTlsContext")));
  text.chain = ", transport_socket: {name: other, typed_config: {\"@type\": " + kApi +
               "proxy_protocol.v3.ProxyProtocolUpstreamTransport, transport_socket: {name: raw_buffer}}}";
  EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("ProxyProtocolUpstreamTransport\" is not supported here")));
}

TEST(TranslateTls_Cluster, GivesEachEndpointTheFirstSocketThatMatches) {
  BootstrapText text;
  text.cluster = ", transport_socket: " + upstream("otherwise") +
                 ", transport_socket_matches: [{name: both, match: {a: x, n: {m: [1]}}, "
                 "transport_socket: " +
                 upstream("both") + "}, {name: one, match: {a: x}, transport_socket: " + upstream("one") +
                 "}, {name: plain, match: {a: y}, transport_socket: " + kRaw + "}]";
  const std::string filter = "envoy.transport_socket_match: ";
  text.endpoints = "[{lb_endpoints: [" + endpoint(1, filter + "{a: x, n: {m: [1]}, more: 1}") + ", " +
                   endpoint(2, filter + "{a: x, n: {m: [2]}}") + ", " + endpoint(3, filter + "{a: y}") + ", " +
                   endpoint(4, filter + "{a: z}") + ", " + endpoint(5, "other: {a: x}") + "]}, {metadata: {filter_metadata: {" +
                   filter + "{a: x}}}, lb_endpoints: [" + endpoint(6, filter + "{a: y}") + ", " + endpoint(7, filter + "{a: z}") +
                   "]}]";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& endpoints = snapshot->find_cluster("origin")->endpoints;
  EXPECT_EQ(endpoints.at(0).extras().tls->name, "both");
  EXPECT_EQ(endpoints.at(1).extras().tls->name, "one");
  EXPECT_EQ(endpoints.at(2).extras().tls, nullptr);
  EXPECT_EQ(endpoints.at(3).extras().tls->name, "");
  EXPECT_EQ(endpoints.at(4).extras().tls, endpoints.at(3).extras().tls);
  EXPECT_EQ(endpoints.at(5).extras().tls, nullptr);  // its own metadata come first
  EXPECT_EQ(endpoints.at(6).extras().tls->name, "one");
  EXPECT_EQ(endpoints.at(0).extras().tls->slot->current()->role(), tls::Role::kClient);
  EXPECT_FALSE(endpoints.at(0).extras().tls->auto_sni);
}

TEST(TranslateTls_Cluster, MatchesEverythingWithoutCriteria) {
  BootstrapText text;
  text.cluster = ", transport_socket_matches: [{name: tls, match: {mode: istio}, transport_socket: " + upstream("a") +
                 "}, {name: rest, match: {}, transport_socket: " + upstream("b") + "}]";
  EXPECT_EQ(snapshot_of(text)->find_cluster("origin")->endpoints.at(0).extras().tls->name, "rest");
}

TEST(TranslateTls_Cluster, TakesNamesFromRequestsWhenTold) {
  BootstrapText text;
  text.cluster = ", transport_socket: " + upstream("a") +
                 ", typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": "
                 "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: "
                 "{http_protocol_options: {}}, upstream_http_protocol_options: {auto_sni: true, auto_san_validation: true, "
                 "override_auto_sni_header: X-Server}}}";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& tls = *snapshot->find_cluster("origin")->endpoints.at(0).extras().tls;
  EXPECT_TRUE(tls.auto_sni);
  EXPECT_TRUE(tls.auto_san_validation);
  EXPECT_EQ(tls.sni_header, "x-server");
  text.cluster = ", upstream_http_protocol_options: {auto_sni: true}, transport_socket: " + upstream("a");
  EXPECT_TRUE(snapshot_of(text)->find_cluster("origin")->endpoints.at(0).extras().tls->auto_sni);
}

TEST(TranslateTls_Cluster, WarnsOfOneThatBelievesAnybody) {
  BootstrapText text;
  text.cluster = ", transport_socket: " + upstream("a");
  const auto loaded = load_text(text);
  ASSERT_TRUE(loaded);
  EXPECT_THAT(loaded->warnings, Contains(HasSubstr("transport_socket.typed_config: has no trusted_ca")));
}

TEST(TranslateTls_Secrets, MustHaveNamesThatDiffer) {
  BootstrapText text;
  text.resources = ", secrets: [{name: a, tls_certificate: {}}, {name: a, tls_certificate: {}}, {tls_certificate: {}}]";
  EXPECT_THAT(errors_of(text), ElementsAre("static_resources.secrets[1].name: the name \"a\" is already taken by "
                                           "static_resources.secrets[0]",
                                           "static_resources.secrets[2].name: must be set: secrets are found by their name"));
}

TEST(TranslateTls_Secrets, StandForTheirUsers) {
  const auto pair = make_pair("one");
  BootstrapText text;
  text.resources = ", secrets: [{name: cert, tls_certificate: {certificate_chain: {inline_string: " + quoted(pair.chain) +
                   "}, private_key: {inline_string: " + quoted(pair.key) + "}}}]";
  text.chain = downstream("tls_certificate_sds_secret_configs: [{name: cert}]");
  ASSERT_NE(snapshot_of(text), nullptr);
  text.resources = ", secrets: [{name: cert, tls_certificate: {certificate_chain: {inline_string: " + quoted(pair.chain) +
                   "}, private_key: {inline_string: " + quoted(make_pair("two").key) + "}}}]";
  EXPECT_THAT(errors_of(text), ElementsAre(testing::StartsWith("static_resources.secrets[0].tls_certificate.private_key: ")));
}

TEST(TranslateTls_Secrets, AreRedactedInTheDump) {
  const auto pair = make_pair("one");
  BootstrapText text;
  text.resources = ", secrets: [{name: keys, session_ticket_keys: {keys: [{inline_bytes: " + std::string(108, 'S') +
                   "}]}}, {name: cert, tls_certificate: {password: {inline_string: SECRET}}}]";
  text.chain = downstream(certificates(pair));
  const auto loaded = load_text(text);
  ASSERT_TRUE(loaded) << loaded.error().at(0).to_string();
  const std::string dump = loaded->bootstrap_json().dump();
  EXPECT_THAT(dump, Not(HasSubstr("PRIVATE KEY")));
  EXPECT_THAT(dump, Not(HasSubstr("SECRET")));
  EXPECT_THAT(dump, Not(HasSubstr("SSSS")));
  EXPECT_THAT(dump, HasSubstr(R"("private_key":{"inline_string":"[redacted]"})"));
  EXPECT_THAT(dump, HasSubstr(R"("password":{"inline_string":"[redacted]"})"));
  EXPECT_THAT(dump, HasSubstr(R"("keys":[{"inline_bytes":"W3JlZGFjdGVkXQ=="}])"));  // bytes, so in base64
  EXPECT_THAT(dump, HasSubstr("BEGIN CERTIFICATE"));
}

TEST(TranslateTls_Listener, LeavesRecordsWithOpensslWhenTold) {
  BootstrapText text;
  text.top =
      ", bootstrap_extensions: [{name: dataplane, typed_config: {\"@type\": type.googleapis.com/millrace.v1.Dataplane, tls: "
      "{record_engine: OPENSSL, handshake_threads: 3}, ports: [{name: p, tap: {interface: t0}, addresses: [198.18.0.2/24]}]}}]";
  const auto loaded = load_text(text);
  ASSERT_TRUE(loaded) << loaded.error().at(0).to_string();
  EXPECT_EQ(loaded->machine.tls.record_engine, config::TlsSettings::RecordEngine::kOpenssl);
  EXPECT_EQ(loaded->machine.tls.handshake_threads, 3U);
  EXPECT_EQ(load_text({})->machine.tls.handshake_threads, 1U);  // for two workers
}

// What istiod 1.2x sends: contexts that are made when their secrets come.
TEST(TranslateTls_Istio, WaitsForItsSecrets) {
  const auto at = [](const std::string& name) {
    return "{name: " + name + ", load_assignment: {cluster_name: " + name +
           ", endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /run/" + name + "}}}}]}]}}";
  };
  envoy::config::bootstrap::v3::Bootstrap bootstrap;
  SourceMap unused;
  Diagnostics good(&unused);
  parse_text(
      "{static_resources: {clusters: [" + at("xds-grpc") + ", " + at("sds-grpc") +
          "]}, dynamic_resources: {ads_config: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]}}}",
      "bootstrap", {}, bootstrap, unused, good);
  ASSERT_TRUE(good.ok());
  std::ifstream in(std::string(MILLRACE_SOURCE_DIR) + "/tests/data/envoy/istio_transport_sockets.json");
  const auto sockets = nlohmann::json::parse(std::string(std::istreambuf_iterator<char>(in), {}));
  ASSERT_THAT(sockets, SizeIs(15));
  for (const auto& json : sockets) {
    envoy::config::core::v3::TransportSocket socket;
    SourceMap places;
    Diagnostics diagnostics(&places);
    parse_text(json.dump(), "istio", {}, socket, places, diagnostics);
    validate_rules(socket, "", diagnostics);
    check_fields(socket, "", diagnostics);
    CellRegistry cells(1);
    TranslateContext context{diagnostics, cells, 1, {}, {}, {}, {}};
    context.secrets = std::make_shared<SecretStore>();
    context.static_secrets = std::make_shared<StaticSecrets>();
    context.discovered_secrets = std::make_shared<DiscoveredSecrets>(&bootstrap);
    const bool is_tls = !json.dump().contains("RawBuffer");
    std::shared_ptr<tls::ContextSlot> slot;
    if (json.dump().contains("DownstreamTlsContext")) {
      slot = translate_downstream_socket(socket, true, "", context);
    } else {
      envoy::config::cluster::v3::Cluster cluster;
      *cluster.mutable_transport_socket() = socket;
      const auto tls = UpstreamSockets(cluster, "", context).choose({}, {}).tls;
      if (tls != nullptr) slot = tls->slot;
    }
    for (const auto& error : diagnostics.errors()) ADD_FAILURE() << error.to_string();
    ASSERT_EQ(slot != nullptr, is_tls);
    EXPECT_EQ(context.secret_names.empty(), !is_tls);
    if (is_tls) {
      EXPECT_EQ(slot->current(), nullptr) << "its secrets have not come";
    }
  }
}

}  // namespace
}  // namespace millrace::agent
