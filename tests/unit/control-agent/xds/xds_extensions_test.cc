// Configurations of HTTP filters that a control plane gives by name (ECDS): waited for, replaced, refused, removed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/xds/xds_gateway.h"

namespace millrace::agent::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kHttp = "type.googleapis.com/envoy.extensions.filters.http.";
const std::string kStats = "extension_config_discovery.http_filter.limit.";

std::string buffer(int bytes) {
  return "{\"@type\": " + kHttp + "buffer.v3.Buffer, max_request_bytes: " + std::to_string(bytes) + "}";
}
std::string extension(const std::string& config) { return "name: limit, typed_config: " + config; }

/// With a filter "limit" that is discovered; `more`: fields of its config_discovery. `others`: before it, each as "{...}, ".
std::string listener(const std::string& more = "", const std::string& others = "", const std::string& type = "buffer.v3.Buffer") {
  std::string text = listener_text("edge", 80, "route_config: {" + routes_text("r", "a") + "}");
  const std::string start = "http_filters: [";
  return text.insert(
      text.find(start) + start.size(),
      others + "{name: limit, config_discovery: {config_source: {ads: {}}, type_urls: [" + kHttp + type + "]" + more + "}}, ");
}

class XdsExtensions : public testing::TestWithParam<bool> {
 protected:
  std::vector<std::string> listen(const std::string& version, const std::string& text) {
    return gateway_.give<ListenerMessage>(ResourceType::kListener, version, {text});
  }
  std::vector<std::string> give(const std::string& version, const std::string& config) {
    return gateway_.give<ExtensionMessage>(ResourceType::kExtension, version, {extension(config)});
  }
  /// Of the filter; 0: it is another one, or none.
  std::uint32_t limit() {
    const auto& filters = gateway_.manager().filters;
    const auto* found = std::get_if<config::BufferRequests>(&filters.back().config);
    return found == nullptr ? 0 : found->max_request_bytes.value_or(0);
  }
  bool is_missing() { return std::holds_alternative<config::MissingConfig>(gateway_.manager().filters.back().config); }

  XdsGateway gateway_{GetParam()};
};

TEST_P(XdsExtensions, AListenerWaitsForTheConfigurationsOfItsFilters) {
  const bool delta = GetParam();
  EXPECT_THAT(gateway_.requests(), ElementsAre("Listener node"));
  EXPECT_THAT(listen("1", listener()),
              testing::UnorderedElementsAre(delta ? "TypedExtensionConfig +limit" : "TypedExtensionConfig limit",
                                            delta ? "Listener n=n1" : "Listener v=1 n=n1"));
  EXPECT_THAT(gateway_.snapshot()->listeners, IsEmpty());
  EXPECT_FALSE(gateway_.is_warm());
  ASSERT_THAT(gateway_.shown().listeners, SizeIs(1));
  EXPECT_THAT(gateway_.shown().listeners[0].waits_for, ElementsAre("FilterConfigSubscription init limit"));
  EXPECT_THAT(give("1", buffer(10)), ElementsAre(delta ? "TypedExtensionConfig n=n1" : "TypedExtensionConfig v=1 n=n1 limit"));
  EXPECT_TRUE(gateway_.is_warm());
  EXPECT_EQ(limit(), 10u);
  ASSERT_THAT(gateway_.shown().extensions, SizeIs(1));
  EXPECT_EQ(gateway_.shown().extensions[0].version, "1");
}

TEST_P(XdsExtensions, AnUpdateReplacesTheListenersThatUseItAndClosesNothing) {
  listen("1", listener());
  give("1", buffer(10));
  const auto before = gateway_.snapshot()->listeners.at(0);
  give("2", buffer(10));
  EXPECT_EQ(gateway_.snapshot()->listeners.at(0), before) << "it says the same";
  give("3", buffer(20));
  EXPECT_EQ(limit(), 20u);
  EXPECT_EQ(gateway_.snapshot()->listeners.at(0)->content_hash, before->content_hash);
  EXPECT_EQ(gateway_.stat(kStats + "config_reload"), 2);
  EXPECT_EQ(gateway_.stat(kStats + "update_success"), 3);
  EXPECT_EQ(gateway_.stat(kStats + "config_fail"), 0);
}

TEST_P(XdsExtensions, WithoutOneTheDefaultServesInTheEnd) {
  listen("1", listener(", default_config: " + buffer(7)));
  gateway_.pass(Duration::seconds(14));
  EXPECT_THAT(gateway_.snapshot()->listeners, IsEmpty());
  gateway_.pass(Duration::seconds(2));
  EXPECT_EQ(limit(), 7u);
  EXPECT_EQ(gateway_.stat(kStats + "init_fetch_timeout"), 1);
  EXPECT_EQ(gateway_.stat(kStats + "config_fail"), 1);
  give("1", buffer(10));
  EXPECT_EQ(limit(), 10u);
}

TEST_P(XdsExtensions, WithoutADefaultRequestsAreAnsweredWithAnError) {
  listen("1", listener());
  gateway_.pass(Duration::seconds(16));
  EXPECT_TRUE(is_missing());
}

TEST_P(XdsExtensions, ADefaultMayServeAtOnce) {
  listen("1", listener(", default_config: " + buffer(7) + ", apply_default_config_without_warming: true"));
  EXPECT_EQ(limit(), 7u);
  EXPECT_TRUE(gateway_.is_warm());
  give("1", buffer(10));
  EXPECT_EQ(limit(), 10u);
}

TEST_P(XdsExtensions, OneOfAnotherTypeIsRefusedAndWhatRanGoesOn) {
  listen("1", listener());
  give("1", buffer(10));
  const auto before = gateway_.snapshot();
  EXPECT_THAT(give("2", "{\"@type\": " + kHttp + "cors.v3.Cors}"),
              ElementsAre(AllOf(HasSubstr("error: TypedExtensionConfig \"limit\".typed_config: is of the type "
                                          "\"envoy.extensions.filters.http.cors.v3.Cors\""),
                                HasSubstr("permits only \"envoy.extensions.filters.http.buffer.v3.Buffer\""))));
  EXPECT_EQ(gateway_.snapshot(), before);
  EXPECT_EQ(gateway_.stat(kStats + "config_fail"), 1);
  EXPECT_EQ(gateway_.stat(kStats + "update_rejected"), 1);
}

TEST_P(XdsExtensions, OneThatCannotBeTranslatedIsRefusedWithItsPath) {
  listen("1", listener("", "", "fault.v3.HTTPFault"));
  EXPECT_THAT(give("1", "{\"@type\": " + kHttp + "fault.v3.HTTPFault, filter_metadata: {a: 1}}"),
              ElementsAre(HasSubstr("error: TypedExtensionConfig \"limit\".typed_config.filter_metadata: ")));
  EXPECT_TRUE(is_missing()) << "nobody waits for it any longer";
}

TEST_P(XdsExtensions, OneThatDoesNotFitTheFiltersAroundItIsRefused) {
  listen("1", listener(", default_config: " + buffer(0)));
  const std::string decompressor = "{name: d, typed_config: {\"@type\": " + kHttp +
                                   "decompressor.v3.Decompressor, decompressor_library: {name: g, typed_config: {\"@type\": "
                                   "type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip}}}}, ";
  const std::string type = "cors.v3.Cors, " + kHttp + "buffer.v3.Buffer";
  listen("2", listener(", default_config: {\"@type\": " + kHttp + "cors.v3.Cors}", decompressor, type));
  EXPECT_THAT(give("1", buffer(10)), ElementsAre(AllOf(HasSubstr("error: TypedExtensionConfig \"limit\": "),
                                                       HasSubstr("must stand before the filters that compress"))));
}

TEST_P(XdsExtensions, OneThatANewListenerDoesNotPermitGivesWayToItsDefault) {
  listen("1", listener());
  give("1", buffer(10));
  listen("2", listener(", default_config: {\"@type\": " + kHttp + "cors.v3.Cors}", "", "cors.v3.Cors"));
  EXPECT_TRUE(std::holds_alternative<config::Cors>(gateway_.manager().filters.back().config));
  EXPECT_EQ(gateway_.stat(kStats + "config_conflict"), 1);
}

TEST_P(XdsExtensions, OneThatNobodyNamesIsForgotten) {
  listen("1", listener());
  give("1", buffer(10));
  EXPECT_THAT(listen("2", listener_text("edge", 80, "route_config: {" + routes_text("r", "a") + "}")),
              testing::Contains(HasSubstr("TypedExtensionConfig")));
  EXPECT_EQ(gateway_.world()->resources.extensions.size(), 0u);
  EXPECT_EQ(gateway_.stat(kStats + "config_reload"), -1);
}

TEST_P(XdsExtensions, AListenerThatIsWrongIsRefused) {
  (void)gateway_.requests();
  EXPECT_THAT(listen("1", listener("", "", "router.v3.Router")),
              ElementsAre(HasSubstr("http_filters[0].config_discovery.type_urls[0]: the router must stand in the listener")));
  EXPECT_THAT(listen("2", listener("", "", "wasm.v3.Wasm")),
              ElementsAre(HasSubstr("\"envoy.extensions.filters.http.wasm.v3.Wasm\" is not an HTTP filter that is supported")));
  EXPECT_THAT(listen("3", listener(", apply_default_config_without_warming: true")),
              ElementsAre(HasSubstr("apply_default_config_without_warming: needs a default_config")));
  EXPECT_THAT(listen("4", listener(", default_config: {\"@type\": " + kHttp + "cors.v3.Cors}")),
              ElementsAre(HasSubstr("config_discovery.default_config: is of the type")));
}

TEST_P(XdsExtensions, AnOptionalFilterOfAnUnsupportedTypeIsLeftOut) {
  std::string text = listener("", "", "wasm.v3.Wasm");
  text.insert(text.find("name: limit"), "is_optional: true, ");
  listen("1", text);
  EXPECT_THAT(gateway_.manager().filters, IsEmpty());
  EXPECT_TRUE(gateway_.is_warm());
}

INSTANTIATE_TEST_SUITE_P(BothProtocols, XdsExtensions, testing::Bool(),
                         [](const auto& test) { return test.param ? "Delta" : "StateOfTheWorld"; });

TEST(XdsExtensions_Delta, WhatIsRemovedGivesWayToTheDefault) {
  XdsGateway gateway(true);
  gateway.give<ListenerMessage>(ResourceType::kListener, "1", {listener(", default_config: " + buffer(7))});
  gateway.give<ExtensionMessage>(ResourceType::kExtension, "1", {extension(buffer(10))});
  const auto limit = [&] { return std::get<config::BufferRequests>(gateway.manager().filters.at(0).config).max_request_bytes; };
  EXPECT_EQ(limit(), 10u);
  EXPECT_THAT(gateway.give<ExtensionMessage>(ResourceType::kExtension, "2", {}, {"limit"}),
              ElementsAre("TypedExtensionConfig n=n2"));
  EXPECT_EQ(limit(), 7u);
  EXPECT_EQ(gateway.stat(kStats + "config_reload"), 2);
}

}  // namespace
}  // namespace millrace::agent::test
