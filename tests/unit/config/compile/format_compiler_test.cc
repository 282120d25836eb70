#include "config/compile/format_compiler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::config {
namespace {

using testing::HasSubstr;

Format compiled(std::string_view source) {
  auto format = compile_format(source);
  EXPECT_TRUE(format) << (format ? "" : format.error());
  return format.value_or(Format{});
}

std::string refusal(std::string_view source) {
  auto format = compile_format(source);
  EXPECT_FALSE(format);
  return format ? "" : format.error();
}

TEST(FormatCompiler, KeepsLiteralsAndUnescapesPercentSigns) {
  const auto format = compiled("100%% sure");
  ASSERT_EQ(format.elements.size(), 1U);
  EXPECT_EQ(format.elements[0].command, FormatCommand::kLiteral);
  EXPECT_EQ(format.elements[0].text, "100% sure");
  EXPECT_EQ(format.source, "100%% sure");
}

TEST(FormatCompiler, CutsOperatorsOutOfLiterals) {
  const auto format = compiled("a%PROTOCOL%b%RESPONSE_CODE%");
  ASSERT_EQ(format.elements.size(), 4U);
  EXPECT_EQ(format.elements[0].text, "a");
  EXPECT_EQ(format.elements[1].command, FormatCommand::kProtocol);
  EXPECT_EQ(format.elements[2].text, "b");
  EXPECT_EQ(format.elements[3].command, FormatCommand::kResponseCode);
}

TEST(FormatCompiler, ReadsFieldNamesAlternativesAndLengths) {
  const auto format = compiled("%REQ(X-Envoy-Original-Path?:PATH):10%%RESP(Server)%%TRAILER(grpc-status)%");
  ASSERT_EQ(format.elements.size(), 3U);
  EXPECT_EQ(format.elements[0].command, FormatCommand::kReq);
  EXPECT_EQ(format.elements[0].text, "x-envoy-original-path");
  EXPECT_EQ(format.elements[0].alternative, ":path");
  EXPECT_EQ(format.elements[0].max_length, 10U);
  EXPECT_EQ(format.elements[1].text, "server");
  EXPECT_FALSE(format.elements[1].max_length);
  EXPECT_EQ(format.elements[2].command, FormatCommand::kTrailer);
}

TEST(FormatCompiler, ReadsFieldsWithoutQueryAndParametersAsWritten) {
  const auto format = compiled("%REQ_WITHOUT_QUERY(X-A?:PATH):5%%QUERY_PARAM(Name):3%");
  ASSERT_EQ(format.elements.size(), 2U);
  EXPECT_EQ(format.elements[0].alternative, ":path");
  EXPECT_EQ(format.elements[1].text, "Name") << "parameters heed the case of letters";
  EXPECT_EQ(format.elements[1].max_length, 3U);
  EXPECT_FALSE(compile_format("%QUERY_PARAM%"));
}

TEST(FormatCompiler, ReadsTheKeysOfDynamicMetadata) {
  const auto format = compiled("%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:sub):5%%DYNAMIC_METADATA(a)%");
  ASSERT_EQ(format.elements.size(), 2U);
  EXPECT_EQ(format.elements[0].text, "envoy.filters.http.jwt_authn");
  EXPECT_EQ(format.elements[0].path, (std::vector<std::string>{"payload", "sub"}));
  EXPECT_EQ(format.elements[0].max_length, 5U);
  EXPECT_EQ(format.elements[1].text, "a");
  EXPECT_TRUE(format.elements[1].path.empty());
  for (const char* wrong : {"%DYNAMIC_METADATA%", "%DYNAMIC_METADATA()%", "%DYNAMIC_METADATA(a:)%", "%DYNAMIC_METADATA(:a)%",
                            "%DYNAMIC_METADATA(a::b)%"})
    EXPECT_FALSE(compile_format(wrong)) << wrong;
}

TEST(FormatCompiler, LetsTheTimeFormatHoldPercentSignsAndColons) {
  const auto format = compiled("%START_TIME(%Y/%m/%dT%H:%M:%S%z (%s))%");
  ASSERT_EQ(format.elements.size(), 1U);
  EXPECT_EQ(format.elements[0].command, FormatCommand::kStartTime);
  EXPECT_EQ(format.elements[0].text, "%Y/%m/%dT%H:%M:%S%z (%s)");
}

TEST(FormatCompiler, CompilesTheDefaultAccessLogFormat) {
  const auto format = compiled(kDefaultAccessLogFormat);
  EXPECT_EQ(format.elements.size(), 31U);
  EXPECT_EQ(format.elements[1].command, FormatCommand::kStartTime);
  EXPECT_EQ(format.elements[5].alternative, ":path");
  EXPECT_EQ(format.elements.back().text, "\"\n");
}

TEST(FormatCompiler, NamesAnUnknownOperator) {
  EXPECT_THAT(refusal("%UPSTREAM_PEER_SUBJECT%"), HasSubstr("%UPSTREAM_PEER_SUBJECT%"));
  EXPECT_THAT(refusal("x %FILTER_STATE(a:b)% y"), HasSubstr("%FILTER_STATE%"));
}

TEST(FormatCompiler, RefusesStrayPercentSignsWithTheirColumn) {
  EXPECT_THAT(refusal("50% of"), HasSubstr("column 3"));
  EXPECT_THAT(refusal("%REQ(x"), HasSubstr("column 1"));
  EXPECT_THAT(refusal("%PROTOCOL:%"), HasSubstr("column 1"));
  EXPECT_THAT(refusal("%"), HasSubstr("column 1"));
}

TEST(FormatCompiler, RefusesWrongArguments) {
  EXPECT_THAT(refusal("%REQ%"), HasSubstr("needs one or two field names"));
  EXPECT_THAT(refusal("%REQ()%"), HasSubstr("needs one or two field names"));
  EXPECT_THAT(refusal("%REQ(a?b?c)%"), HasSubstr("needs one or two field names"));
  EXPECT_THAT(refusal("%PROTOCOL(x)%"), HasSubstr("takes no argument"));
  EXPECT_THAT(refusal("%REQ(a):99999999999%"), HasSubstr("too large"));
}

TEST(FormatCompiler, BoundsTheNumberOfElements) {
  std::string source;
  for (std::size_t i = 0; i <= kMaxFormatElements; ++i) source += "%PROTOCOL%";
  EXPECT_THAT(refusal(source), HasSubstr("more than 1000 elements"));
}

TEST(FormatCompiler, MakesLiteralsOfAnyText) {
  const auto format = literal_format("100% %PROTOCOL%");
  ASSERT_EQ(format.elements.size(), 1U);
  EXPECT_EQ(format.elements[0].text, "100% %PROTOCOL%");
  EXPECT_TRUE(literal_format("").elements.empty());
}

}  // namespace
}  // namespace millrace::config
