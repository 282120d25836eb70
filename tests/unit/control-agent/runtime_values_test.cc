#include "control-agent/runtime_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control-agent/loader.h"

namespace millrace::agent {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing::UnorderedElementsAre;

struct Read {
  RuntimeEntries entries;
  std::vector<std::string> errors;
};

Read read(const std::string& yaml) {
  google::protobuf::Struct layer;
  SourceMap places;
  Diagnostics diagnostics(&places);
  EXPECT_TRUE(parse_text(yaml, "", {}, layer, places, diagnostics)) << yaml;
  Read out{.entries = read_runtime_layer(layer, "layer", diagnostics), .errors = {}};
  for (const auto& error : diagnostics.errors()) out.errors.push_back(error.path + ": " + error.reason);
  return out;
}

RuntimeValues values(const std::string& yaml) { return RuntimeValues({{.name = "only", .entries = read(yaml).entries}}); }

TEST(RuntimeLayer, StructuresAreLevelsOfKeys) {
  const Read layer = read("{a: x, b: {c: 32768, d: 0.5, e: {f: true}}, p: {numerator: 3, denominator: MILLION}, big: 1.0e+17}");
  EXPECT_THAT(layer.errors, ElementsAre());
  EXPECT_THAT(layer.entries, UnorderedElementsAre(Pair("a", "x"), Pair("b.c", "32768"), Pair("b.d", "0.5"), Pair("b.e.f", "true"),
                                                  Pair("p", testing::HasSubstr("MILLION")), Pair("big", "1e+17")));
}

TEST(RuntimeLayer, RefusesWhatIsNoValue) {
  EXPECT_THAT(read("{a: [1], b: {c: null}}").errors,
              UnorderedElementsAre(testing::HasSubstr("layer[\"a\"]: must be a text, a number"),
                                   testing::HasSubstr("layer[\"b\"][\"c\"]: must be a text, a number")));
  EXPECT_THAT(
      read("{overload.global_downstream_max_connections: many, envoy.resource_limits.listener.a.connection_limit: -1}").errors,
      UnorderedElementsAre(testing::HasSubstr("must be a whole number: of connections"),
                           testing::HasSubstr("must be a whole number: of connections")));
  EXPECT_THAT(read("{overload: {global_downstream_max_connections: \"5\"}}").errors, ElementsAre());
}

TEST(RuntimeValues, LaterLayersHideEarlierOnes) {
  const RuntimeValues both({{.name = "first", .entries = {{"a", "1"}, {"b", "2"}}}, {.name = "second", .entries = {{"a", "3"}}}});
  EXPECT_EQ(*both.find("a"), "3");
  EXPECT_EQ(*both.find("b"), "2");
  EXPECT_EQ(both.find("c"), nullptr);
  EXPECT_EQ(both.size(), 2u);
}

TEST(RuntimeValues, FractionsAreFractionsOrPercentages) {
  const RuntimeValues runtime = values(
      "{whole: 30, text: \"40\", more: 200, fraction: {numerator: 5, denominator: TEN_THOUSAND}, hundred: {numerator: 7}, "
      "yaml: \"numerator: 9\", word: abc, half: 0.5}");
  const auto fraction = [&](std::string_view key) {
    const config::Fraction out = runtime.fraction(key, {.numerator = 1, .denominator = 3});
    return std::pair(out.numerator, out.denominator);
  };
  EXPECT_THAT(fraction("whole"), Pair(30u, 100u));
  EXPECT_THAT(fraction("text"), Pair(40u, 100u));
  EXPECT_THAT(fraction("more"), Pair(100u, 100u)) << "always";
  EXPECT_THAT(fraction("fraction"), Pair(5u, 10'000u));
  EXPECT_THAT(fraction("hundred"), Pair(7u, 100u));
  EXPECT_THAT(fraction("yaml"), Pair(9u, 100u));
  for (const char* key : {"word", "half", "missing", ""}) EXPECT_THAT(fraction(key), Pair(1u, 3u)) << key;
}

TEST(RuntimeValues, FlagsAreWordsOrNumbers) {
  const RuntimeValues runtime = values("{yes: true, no: false, one: 1, zero: 0, loud: \"FALSE\", word: maybe}");
  EXPECT_TRUE(runtime.flag("yes", false));
  EXPECT_FALSE(runtime.flag("no", true));
  EXPECT_TRUE(runtime.flag("one", false));
  EXPECT_FALSE(runtime.flag("zero", true));
  EXPECT_FALSE(runtime.flag("loud", true));
  for (const char* key : {"word", "missing"}) {
    EXPECT_TRUE(runtime.flag(key, true)) << key;
    EXPECT_FALSE(runtime.flag(key, false)) << key;
  }
}

TEST(RuntimeValues, WholeNumbersAreNothingElse) {
  const RuntimeValues runtime = values("{five: 5, text: \"6\", half: 0.5, less: -1, word: x}");
  EXPECT_EQ(runtime.whole_number("five"), 5u);
  EXPECT_EQ(runtime.whole_number("text"), 6u);
  for (const char* key : {"half", "less", "word", "missing"}) EXPECT_EQ(runtime.whole_number(key), std::nullopt) << key;
}

TEST(RuntimeValues, AgreeWhereTheySayTheSame) {
  const RuntimeValues one = values("{a: 1, b: 2}");
  const RuntimeValues other = values("{a: 1, c: 2}");
  EXPECT_TRUE(one.agrees_with(other, {"a", "d"}));
  EXPECT_FALSE(one.agrees_with(other, {"a", "b"}));
  EXPECT_FALSE(one.agrees_with(other, {"c"}));
}

}  // namespace
}  // namespace millrace::agent
