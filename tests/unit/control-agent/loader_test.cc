#include "control-agent/loader.h"

#include <gmock/gmock.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include "control-agent/to_json.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/type/v3/percent.pb.h"

namespace millrace::agent {
namespace {

using envoy::config::bootstrap::v3::Bootstrap;
using envoy::config::core::v3::HeaderValue;
using envoy::config::core::v3::Node;
using envoy::config::route::v3::HeaderMatcher;
using envoy::config::route::v3::RouteAction;
using testing::ElementsAre;
using testing::HasSubstr;

/// What parsing left behind.
template <typename Message>
struct Parsed {
  Message message;
  SourceMap places;
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
};

template <typename Message>
Parsed<Message> parse(std::string_view text, ParseOptions options = {}) {
  Parsed<Message> out;
  Diagnostics diagnostics(&out.places);
  const bool good = parse_text(text, "f", options, out.message, out.places, diagnostics);
  EXPECT_EQ(good, diagnostics.ok());
  for (const auto& error : diagnostics.errors()) out.errors.push_back(error.to_string());
  for (const auto& warning : diagnostics.warnings()) out.warnings.push_back(warning.to_string());
  return out;
}

template <typename Message>
Message good(std::string_view text) {
  auto parsed = parse<Message>(text);
  EXPECT_THAT(parsed.errors, ElementsAre()) << text;
  return parsed.message;
}

template <typename Message>
std::string only_error(std::string_view text) {
  const auto parsed = parse<Message>(text);
  EXPECT_EQ(parsed.errors.size(), 1U) << text;
  return parsed.errors.empty() ? "" : parsed.errors[0];
}

TEST(Loader, TakesOriginalAndCamelCaseNames) {
  EXPECT_EQ(good<Node>("{user_agent_name: a}").user_agent_name(), "a");
  EXPECT_EQ(good<Node>("{userAgentName: a}").user_agent_name(), "a");
  EXPECT_THAT(only_error<Node>("{UserAgentName: a}"), HasSubstr("unknown field"));
}

TEST(Loader, ReadsEnumsByNameAndNumber) {
  EXPECT_EQ(good<RouteAction>("{cluster: a, priority: HIGH}").priority(), envoy::config::core::v3::HIGH);
  EXPECT_EQ(good<RouteAction>("{cluster: a, priority: 1}").priority(), envoy::config::core::v3::HIGH);
  EXPECT_EQ(only_error<RouteAction>("{priority: LOW}"), "f:1: priority: expected one of DEFAULT, HIGH, got \"LOW\"");
}

TEST(Loader, ReadsNumbersPlainAndQuoted) {
  EXPECT_EQ(good<HeaderMatcher>("{range_match: {start: \"-5\", end: 9007199254740993}}").range_match().end(), 9007199254740993);
  EXPECT_EQ(good<HeaderMatcher>("{range_match: {start: '-5'}}").range_match().start(), -5);
  EXPECT_EQ(good<RouteAction>("{max_internal_redirects: 3}").max_internal_redirects().value(), 3U);
  EXPECT_THAT(only_error<RouteAction>("{max_internal_redirects: -1}"),
              HasSubstr("whole number from 0 to 4294967295, got the number -1"));
  EXPECT_THAT(only_error<RouteAction>("{max_internal_redirects: 4294967296}"), HasSubstr("whole number"));
  EXPECT_DOUBLE_EQ(good<envoy::type::v3::Percent>("{value: 2.5}").value(), 2.5);
  EXPECT_THAT(only_error<envoy::type::v3::Percent>("{value: much}"), HasSubstr("expected a number, got \"much\""));
}

TEST(Loader, ReadsBooleansAsJsonWritesThem) {
  EXPECT_TRUE(good<HeaderMatcher>("{invert_match: true}").invert_match());
  EXPECT_THAT(only_error<HeaderMatcher>("{invert_match: yes}"), HasSubstr("expected true or false, got \"yes\""));
}

TEST(Loader, WantsStringsToLookLikeStrings) {
  EXPECT_EQ(good<Node>("{id: \"7\"}").id(), "7");
  EXPECT_EQ(good<Node>("{id: 1.2.3.4}").id(), "1.2.3.4");
  EXPECT_EQ(good<Node>("id: |\n  two\n  lines\n").id(), "two\nlines\n");
  EXPECT_EQ(only_error<Node>("{id: true}"), "f:1: id: expected a string, got true: put it in quotes");
}

TEST(Loader, ReadsBytesAsBase64) {
  EXPECT_EQ(good<HeaderValue>("{raw_value: aGk=}").raw_value(), "hi");
  EXPECT_THAT(only_error<HeaderValue>("{raw_value: \"?\"}"), HasSubstr("expected bytes in base64"));
}

TEST(Loader, ReadsDurationsAndWrappers) {
  const auto action = good<RouteAction>("{timeout: 1.5s, auto_host_rewrite: true}");
  EXPECT_EQ(action.timeout().seconds(), 1);
  EXPECT_EQ(action.timeout().nanos(), 500'000'000);
  EXPECT_TRUE(action.auto_host_rewrite().value());
  EXPECT_EQ(only_error<RouteAction>("{timeout: 5m}"), "f:1: timeout: expected a duration such as \"1.5s\", got \"5m\"");
  EXPECT_THAT(only_error<RouteAction>("{timeout: {seconds: 5}}"), HasSubstr("got a mapping"));
}

TEST(Loader, ReadsTimestampsAndFieldMasks) {
  google::protobuf::Any any =
      good<google::protobuf::Any>("{\"@type\": type.googleapis.com/google.protobuf.Timestamp, value: \"2024-01-31T12:00:00Z\"}");
  google::protobuf::Timestamp time;
  ASSERT_TRUE(any.UnpackTo(&time));
  EXPECT_EQ(time.seconds(), 1'706'702'400);
  EXPECT_THAT(only_error<google::protobuf::Any>("{\"@type\": a/google.protobuf.Timestamp, value: noon}"),
              HasSubstr("expected a time"));
  any = good<google::protobuf::Any>("{\"@type\": a/google.protobuf.FieldMask, value: \"fooBar,a.b\"}");
  google::protobuf::FieldMask mask;
  ASSERT_TRUE(any.UnpackTo(&mask));
  EXPECT_THAT(mask.paths(), ElementsAre("foo_bar", "a.b"));
}

TEST(Loader, ReadsStructsWithTheTypesThatYamlShows) {
  const auto node = good<Node>("{metadata: {n: 5, s: \"5\", b: false, q: 'false', z: null, l: [1, [x]], m: {k: v}, t: 1s}}");
  const auto& fields = node.metadata().fields();
  EXPECT_EQ(fields.at("n").number_value(), 5);
  EXPECT_EQ(fields.at("s").string_value(), "5");
  EXPECT_EQ(fields.at("b").kind_case(), google::protobuf::Value::kBoolValue);
  EXPECT_EQ(fields.at("q").string_value(), "false");
  EXPECT_EQ(fields.at("z").kind_case(), google::protobuf::Value::kNullValue);
  EXPECT_EQ(fields.at("l").list_value().values(1).list_value().values(0).string_value(), "x");
  EXPECT_EQ(fields.at("m").struct_value().fields().at("k").string_value(), "v");
  EXPECT_EQ(fields.at("t").string_value(), "1s");
}

TEST(Loader, ReadsMaps) {
  const auto bootstrap = good<Bootstrap>("{certificate_provider_instances: {a: {name: x}, b: {name: y}}}");
  EXPECT_EQ(bootstrap.certificate_provider_instances().at("b").name(), "y");
  EXPECT_EQ(only_error<Bootstrap>("certificate_provider_instances:\n  a: {name: x}\n  a: {name: y}\n"),
            "f:3: certificate_provider_instances[\"a\"]: is set twice in the same mapping");
  EXPECT_THAT(only_error<Bootstrap>("{certificate_provider_instances: {a: null}}"), HasSubstr("a map cannot hold null"));
}

TEST(Loader, UnpacksAnysByTheirType) {
  const auto any = good<google::protobuf::Any>(
      "{\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppressEnvoyHeaders: true}");
  envoy::extensions::filters::http::router::v3::Router router;
  ASSERT_TRUE(any.UnpackTo(&router));
  EXPECT_TRUE(router.suppress_envoy_headers());
  EXPECT_THAT(only_error<google::protobuf::Any>("{name: x}"), HasSubstr("needs \"@type\""));
}

TEST(Loader, KeepsAnysOfUnknownTypeAsBytes) {
  const auto any = good<google::protobuf::Any>("{\"@type\": type.googleapis.com/some.Thing, value: aGk=}");
  EXPECT_EQ(any.type_url(), "type.googleapis.com/some.Thing");
  EXPECT_EQ(any.value(), "hi");
  EXPECT_EQ(only_error<google::protobuf::Any>("{\"@type\": type.googleapis.com/some.Thing, depth: 5}"),
            "f:1: the type \"type.googleapis.com/some.Thing\" is unknown to this program");
  const auto allowed = parse<google::protobuf::Any>("{\"@type\": a/some.Thing, depth: 5}", {.allow_unknown_fields = true});
  EXPECT_THAT(allowed.warnings, ElementsAre(HasSubstr("content ignored")));
}

TEST(Loader, TakesNullAsUnset) {
  const auto node = good<Node>("{id: null, locality: ~, client_features: null, cluster: }");
  EXPECT_FALSE(node.has_locality());
  EXPECT_EQ(node.client_features_size(), 0);
  EXPECT_THAT(only_error<Node>("{client_features: [a, null]}"), HasSubstr("client_features[1]: a list cannot hold null"));
}

TEST(Loader, RefusesListsFromScalarsAndScalarsFromLists) {
  EXPECT_THAT(only_error<Node>("{client_features: a}"), HasSubstr("expected a list, got \"a\""));
  EXPECT_THAT(only_error<Node>("{id: [a]}"), HasSubstr("expected a single value (string), got a list"));
  EXPECT_THAT(only_error<Node>("{locality: here}"),
              HasSubstr("expected a mapping of the fields of envoy.config.core.v3.Locality, got \"here\""));
  EXPECT_THAT(only_error<Node>("[a]"), HasSubstr("expected a mapping"));
}

TEST(Loader, RefusesFieldsSetTwiceAndOneofsSetTwice) {
  EXPECT_EQ(only_error<Node>("{id: a,\n id: b}"), "f:2: id: is set twice in the same mapping");
  EXPECT_EQ(only_error<Node>("{user_agent_name: a, userAgentName: b}"), "f:1: user_agent_name: is set twice in the same mapping");
  EXPECT_EQ(only_error<RouteAction>("{cluster: a,\n cluster_header: b}"),
            "f:2: cluster_header: cannot be set together with \"cluster\": choose one");
  EXPECT_EQ(good<RouteAction>("{cluster: a, cluster_header: null}").cluster(), "a");
}

TEST(Loader, NamesUnknownFieldsWithPathLineAndAGuess) {
  EXPECT_EQ(
      only_error<Bootstrap>("static_resources:\n  listeners:\n  - name: a\n    adress: {}\n"),
      "f:4: static_resources.listeners[0].adress: unknown field of envoy.config.listener.v3.Listener; did you mean \"address\"?");
  const auto allowed = parse<Node>("{colour: red, id: a}", {.allow_unknown_fields = true});
  EXPECT_THAT(allowed.warnings, ElementsAre("f:1: colour: unknown field of envoy.config.core.v3.Node (ignored)"));
  EXPECT_EQ(allowed.message.id(), "a");
}

TEST(Loader, CollectsAllErrorsUpToItsBound) {
  EXPECT_EQ(parse<Node>("{id: [], cluster: {}, colour: red}").errors.size(), 3U);
  std::string many = "{";
  for (int i = 0; i < 300; ++i) many += "unknown_" + std::to_string(i) + ": 1, ";
  EXPECT_EQ(parse<Node>(many + "}").errors.size(), kMaxConfigErrors);
}

TEST(Loader, ResolvesAnchorsAndMergeKeys) {
  const auto bootstrap = good<Bootstrap>(
      "node: &n {id: a, cluster: c}\n"
      "static_resources:\n"
      "  clusters:\n"
      "  - &base {name: one, alt_stat_name: shared}\n"
      "  - {<<: *base, name: two}\n");
  EXPECT_EQ(bootstrap.static_resources().clusters(1).name(), "two");
  EXPECT_EQ(bootstrap.static_resources().clusters(1).alt_stat_name(), "shared");
  EXPECT_THAT(only_error<Node>("{<<: 5}"), HasSubstr("\"<<\" merges a mapping"));
}

TEST(Loader, BoundsDepthAndSize) {
  std::string deep = "{metadata: {a: ";
  for (int i = 0; i < 120; ++i) deep += "[";
  for (int i = 0; i < 120; ++i) deep += "]";
  EXPECT_THAT(only_error<Node>(deep + "}}"), HasSubstr("nested more than 100 levels deep"));
  // Aliases of aliases: 10^7 values from a few lines.
  std::string bomb = "x: &a0 [a,a,a,a,a,a,a,a,a,a]\n";
  for (int i = 1; i < 8; ++i) {
    const std::string previous = "*a" + std::to_string(i - 1);
    bomb += "y" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + previous;
    for (int k = 1; k < 10; ++k) bomb += "," + previous;
    bomb += "]\n";
  }
  const auto parsed = parse<google::protobuf::Struct>(bomb, {.max_nodes = 10'000});
  EXPECT_THAT(parsed.errors, testing::Contains(HasSubstr("more than 10000 values")));
}

TEST(Loader, RefusesWhatIsNotOneYamlDocument) {
  EXPECT_THAT(only_error<Node>("{id: a"), HasSubstr("is not valid YAML at column"));
  EXPECT_THAT(only_error<Node>("id: a\n---\nid: b\n"), HasSubstr("more than one YAML document"));
  EXPECT_THAT(only_error<Node>(""), HasSubstr("is empty"));
  EXPECT_THAT(only_error<Node>("id: \xff"), HasSubstr("is not UTF-8 text"));
  EXPECT_THAT(only_error<Node>(std::string(10'000, '[')), HasSubstr("is not valid YAML"));
}

TEST(Loader, ReadsJsonWithItsEscapes) {
  const auto node = good<Node>("{\n\t\"id\": \"a\\/b\\u00e9\\ud83d\\ude00\\\\ud83d\\n\",\n\t\"clientFeatures\": [\"x\"]\n}");
  EXPECT_EQ(node.id(), "a/b\xc3\xa9\xf0\x9f\x98\x80\\ud83d\n");
  EXPECT_EQ(node.client_features(0), "x");
}

TEST(Loader, MergesALaterTextAsEnvoyMergesItsOverlay) {
  Bootstrap bootstrap;
  SourceMap places;
  Diagnostics diagnostics(&places);
  ASSERT_TRUE(parse_text("node: {id: a, cluster: c, metadata: {k: old, l: kept}}\nstatic_resources: {clusters: [{name: one}]}",
                         "first", {}, bootstrap, places, diagnostics));
  ASSERT_TRUE(parse_text("node: {id: b, metadata: {k: new}}\nstatic_resources:\n  clusters:\n  - name: two", "second", {},
                         bootstrap, places, diagnostics));
  EXPECT_EQ(bootstrap.node().id(), "b");
  EXPECT_EQ(bootstrap.node().cluster(), "c");
  EXPECT_EQ(bootstrap.node().metadata().fields().at("k").string_value(), "new");
  EXPECT_EQ(bootstrap.node().metadata().fields().at("l").string_value(), "kept");
  EXPECT_EQ(bootstrap.static_resources().clusters(1).name(), "two");
  EXPECT_EQ(places.find("static_resources.clusters[1].name").file, "second");
  EXPECT_EQ(places.find("static_resources.clusters[1].name").line, 4U);
  EXPECT_EQ(places.find("static_resources.clusters[0].type").file, "first");
}

TEST(Loader, ReadsAListenerAsIstiodSendsIt) {
  google::protobuf::Any any;
  SourceMap places;
  Diagnostics diagnostics(&places);
  ASSERT_TRUE(parse_file(std::string(MILLRACE_SOURCE_DIR) + "/tests/data/envoy/listener.json", {}, any, places, diagnostics))
      << diagnostics.errors().front().to_string();
  envoy::config::listener::v3::Listener listener;
  ASSERT_TRUE(any.UnpackTo(&listener));
  envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager manager;
  ASSERT_TRUE(listener.filter_chains(0).filters(0).typed_config().UnpackTo(&manager));
  EXPECT_EQ(manager.http_filters_size(), 3);
  EXPECT_EQ(manager.http_filters(1).typed_config().value().size(), 8U);
}

}  // namespace
}  // namespace millrace::agent
