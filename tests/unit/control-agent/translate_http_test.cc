#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/compile/format_compiler.h"
#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using config::HttpConnectionManager;
using testing::ElementsAre;
using testing::HasSubstr;

HttpConnectionManager manager(const std::string& fields) {
  BootstrapText text;
  text.manager = ", " + fields;
  const auto snapshot = snapshot_of(text);
  return snapshot == nullptr ? HttpConnectionManager{} : manager_of(snapshot);
}

std::vector<std::string> refusals(const std::string& fields) {
  BootstrapText text;
  text.manager = ", " + fields;
  return errors_of(text);
}

TEST(TranslateHttp, HasEnvoysDefaults) {
  const auto snapshot = snapshot_of({});
  ASSERT_NE(snapshot, nullptr);
  const auto& http = manager_of(snapshot);
  EXPECT_EQ(http.stat_prefix, "ingress");
  EXPECT_EQ(http.cell->name, "ingress");
  EXPECT_EQ(http.server_name, "envoy");
  EXPECT_EQ(http.stream_idle_timeout, Duration::seconds(300));
  EXPECT_EQ(http.idle_timeout, Duration::seconds(3600));
  EXPECT_EQ(http.request_timeout, Duration());
  EXPECT_EQ(http.drain_timeout, Duration::seconds(5));
  EXPECT_EQ(http.delayed_close_timeout, Duration::seconds(1));
  EXPECT_EQ(http.max_request_headers_bytes, 60U * 1024);
  EXPECT_EQ(http.max_headers_count, 100U);
  EXPECT_TRUE(http.generate_request_id);
  EXPECT_TRUE(http.allow_absolute_url);
  EXPECT_FALSE(http.use_remote_address);
  EXPECT_FALSE(http.normalize_path);
  EXPECT_EQ(http.forward_client_cert, HttpConnectionManager::ForwardClientCert::kSanitize);
  EXPECT_FALSE(http.websocket);
  EXPECT_EQ(http.service_node, "node-1");
  EXPECT_EQ(http.service_cluster, "edge");
}

TEST(TranslateHttp, TakesTimes) {
  const auto http = manager(
      "request_timeout: 1s, request_headers_timeout: 2s, stream_idle_timeout: 0s, drain_timeout: 4s, delayed_close_timeout: "
      "0.5s, "
      "common_http_protocol_options: {idle_timeout: 6s, max_connection_duration: 7s, max_stream_duration: 8s}");
  EXPECT_EQ(http.request_timeout, Duration::seconds(1));
  EXPECT_EQ(http.request_headers_timeout, Duration::seconds(2));
  EXPECT_EQ(http.stream_idle_timeout, Duration());
  EXPECT_EQ(http.drain_timeout, Duration::seconds(4));
  EXPECT_EQ(http.delayed_close_timeout, Duration::milliseconds(500));
  EXPECT_EQ(http.idle_timeout, Duration::seconds(6));
  EXPECT_EQ(http.max_connection_duration, Duration::seconds(7));
  EXPECT_EQ(http.max_stream_duration, Duration::seconds(8));
}

TEST(TranslateHttp, TakesTheClientsAddressAndPathOptions) {
  const auto http = manager(
      "use_remote_address: true, xff_num_trusted_hops: 2, skip_xff_append: true, normalize_path: true, merge_slashes: true, "
      "path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT, strip_any_host_port: true, forward_client_cert_details: "
      "ALWAYS_FORWARD_ONLY");
  EXPECT_TRUE(http.use_remote_address);
  EXPECT_EQ(http.xff_num_trusted_hops, 2U);
  EXPECT_TRUE(http.skip_xff_append);
  EXPECT_TRUE(http.normalize_path);
  EXPECT_TRUE(http.merge_slashes);
  EXPECT_EQ(http.escaped_slashes, HttpConnectionManager::EscapedSlashes::kUnescapeAndRedirect);
  EXPECT_TRUE(http.strip_any_host_port);
  EXPECT_EQ(http.forward_client_cert, HttpConnectionManager::ForwardClientCert::kAlwaysForwardOnly);
  EXPECT_EQ(manager("path_with_escaped_slashes_action: REJECT_REQUEST").escaped_slashes,
            HttpConnectionManager::EscapedSlashes::kReject);
}

TEST(TranslateHttp, TakesWhatIsToldOfClientCertificates) {
  using Forward = HttpConnectionManager::ForwardClientCert;
  for (const auto& [text, mode] : {std::pair{"SANITIZE", Forward::kSanitize},
                                   {"FORWARD_ONLY", Forward::kForwardOnly},
                                   {"APPEND_FORWARD", Forward::kAppendForward},
                                   {"SANITIZE_SET", Forward::kSanitizeSet},
                                   {"ALWAYS_FORWARD_ONLY", Forward::kAlwaysForwardOnly}}) {
    EXPECT_EQ(manager(std::string("forward_client_cert_details: ") + text).forward_client_cert, mode);
  }
  EXPECT_EQ(manager("codec_type: AUTO").client_cert_details, HttpConnectionManager::ClientCertDetails());
  const auto some = manager("set_current_client_cert_details: {subject: true, chain: true, uri: true}").client_cert_details;
  EXPECT_TRUE(some.subject && some.chain && some.uri);
  EXPECT_FALSE(some.cert || some.dns);
  const auto others = manager("set_current_client_cert_details: {subject: false, cert: true, dns: true}").client_cert_details;
  EXPECT_TRUE(others.cert && others.dns);
  EXPECT_FALSE(others.subject || others.chain || others.uri);
}

TEST(TranslateHttp, TakesTheCodecsOptions) {
  const auto http = manager(
      "codec_type: HTTP1, max_request_headers_kb: 96, common_http_protocol_options: {max_headers_count: 7, "
      "max_requests_per_connection: 9, "
      "headers_with_underscores_action: REJECT_REQUEST}, http_protocol_options: {accept_http_10: true, default_host_for_http_10: "
      "h, "
      "allow_absolute_url: false, enable_trailers: true}");
  EXPECT_EQ(http.max_request_headers_bytes, 96U * 1024);
  EXPECT_EQ(http.max_headers_count, 7U);
  EXPECT_EQ(http.max_requests_per_connection, 9U);
  EXPECT_EQ(http.underscores, HttpConnectionManager::Underscores::kReject);
  EXPECT_TRUE(http.accept_http_10);
  EXPECT_EQ(http.default_host_for_http_10, "h");
  EXPECT_FALSE(http.allow_absolute_url);
  EXPECT_TRUE(http.enable_trailers);
}

TEST(TranslateHttp, TakesAddedFieldsAndUpgrades) {
  const auto http = manager(
      "server_name: mr, server_header_transformation: PASS_THROUGH, via: v, generate_request_id: false, "
      "preserve_external_request_id: true, "
      "always_set_request_id_in_response: true, add_user_agent: true, upgrade_configs: [{upgrade_type: WebSocket}]");
  EXPECT_EQ(http.server_name, "mr");
  EXPECT_EQ(http.server_header, HttpConnectionManager::ServerHeader::kPassThrough);
  EXPECT_EQ(http.via, "v");
  EXPECT_FALSE(http.generate_request_id);
  EXPECT_TRUE(http.preserve_external_request_id);
  EXPECT_TRUE(http.always_set_request_id_in_response);
  EXPECT_TRUE(http.add_user_agent);
  EXPECT_TRUE(http.websocket);
  EXPECT_FALSE(http.connect);
  EXPECT_TRUE(manager("upgrade_configs: [{upgrade_type: connect}]").connect);
  EXPECT_FALSE(manager("upgrade_configs: [{upgrade_type: websocket, enabled: false}]").websocket);
}

TEST(TranslateHttp, RefusesValuesThatItCannotServe) {
  EXPECT_THAT(refusals("codec_type: HTTP3"), ElementsAre("codec_type: HTTP3 is not supported yet: use AUTO or HTTP1"));
  EXPECT_THAT(refusals("max_request_headers_kb: 97"), ElementsAre("max_request_headers_kb: must be at most 96, is 97"));
  EXPECT_THAT(refusals("common_http_protocol_options: {max_headers_count: 1001}"),
              ElementsAre("common_http_protocol_options.max_headers_count: must be at most 1000, is 1001"));
  EXPECT_THAT(refusals("upgrade_configs: [{upgrade_type: h2c}]"),
              ElementsAre("upgrade_configs[0].upgrade_type: \"h2c\" is not supported yet: only websocket and CONNECT are"));
  EXPECT_THAT(refusals("strip_any_host_port: true, strip_matching_host_port: true"),
              ElementsAre(HasSubstr("strip_matching_host_port: cannot be set together")));
  EXPECT_THAT(refusals("request_timeout: -1s"), ElementsAre("request_timeout: must not be negative"));
}

TEST(TranslateAccessLog, UsesTheDefaultFormatAndSharesSinks) {
  const std::string standard_out =
      "typed_config: {\"@type\": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";
  const std::string file =
      "typed_config: {\"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: ";
  BootstrapText text;
  text.manager = ", access_log: [{" + standard_out + "}}, {" + file + "/tmp/a.log, format: \"%PROTOCOL%\"}}, {" + file +
                 "/dev/stdout, log_format: {text_format_source: {inline_string: \"%RESPONSE_CODE%\"}}}}, {" + standard_out +
                 ", log_format: {text_format: \"x\"}}}]";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& logs = manager_of(snapshot).access_logs;
  ASSERT_EQ(logs.size(), 4U);
  EXPECT_EQ(logs[0].format.source, config::kDefaultAccessLogFormat);
  EXPECT_EQ(logs[1].format.source, "%PROTOCOL%");
  EXPECT_EQ(logs[2].format.source, "%RESPONSE_CODE%");
  EXPECT_EQ(logs[3].format.source, "x");
  ASSERT_EQ(snapshot->log_sinks.size(), 2U);
  EXPECT_EQ(snapshot->log_sinks[logs[1].sink].path, "/tmp/a.log");
  EXPECT_EQ(logs[0].sink, logs[2].sink);
  EXPECT_EQ(snapshot->log_sinks[logs[3].sink].path, "/dev/stdout");
}

TEST(TranslateAccessLog, NamesABadFormat) {
  EXPECT_THAT(refusals("access_log: [{typed_config: {\"@type\": "
                       "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "
                       "a, log_format: {text_format_source: {inline_string: \"%WHO%\"}}}}]"),
              ElementsAre(HasSubstr("log_format.text_format_source: the operator %WHO% is not supported")));
}

TEST(TranslateHttp, TakesTheRoutersOptions) {
  BootstrapText text;
  auto plain = text.text();
  const std::string router = "envoy.extensions.filters.http.router.v3.Router";
  plain.replace(plain.find(router) + 0, router.size(), router + ", suppress_envoy_headers: true");
  LoadOptions options;
  options.config_yaml = plain;
  const auto loaded = load(options);
  ASSERT_TRUE(loaded) << loaded.error().at(0).to_string();
  EXPECT_TRUE(manager_of(loaded->snapshot).suppress_envoy_headers);
}

TEST(TranslateHttp, WantsTheRouterLast) {
  BootstrapText text;
  auto plain = text.text();
  const std::string end = "Router}}]";
  plain.replace(plain.find(end), end.size(),
                "Router}}, {name: again, typed_config: {\"@type\": "
                "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]");
  LoadOptions options;
  options.config_yaml = plain;
  const auto loaded = load(options);
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().at(0).to_string(), HasSubstr("http_filters[1]: stands behind the router"));
}

}  // namespace
}  // namespace millrace::agent::test
