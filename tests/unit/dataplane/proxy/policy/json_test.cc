#include "dataplane/proxy/policy/json.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

using testing::Memory;
using testing::NoMemory;
using Failure = JsonReader::Failure;

struct Reader : Memory {
  /// Read and written again; "?": it is not an object.
  std::string again(std::string text) {
    const std::size_t size = text.size();
    text.resize(size + JsonReader::kPaddingBytes, 'x');
    const auto value = json.read_object(std::string_view(text).substr(0, size), arena);
    std::ranges::fill(text, '#');  // nothing points into it
    if (!value) return value.error() == Failure::kInvalid ? "?" : "no memory";
    return std::string(write_json(**value, arena));
  }
  JsonReader json{1024};
};

TEST(Json, ReadsAndWritesEveryKind) {
  Reader reader;
  EXPECT_EQ(reader.again("{}"), "{}");
  EXPECT_EQ(reader.again(R"( {"a" : [1, -2.5, true, false, null, "x", {}, []] } )"),
            R"({"a":[1,-2.5,true,false,null,"x",{},[]]})");
  EXPECT_EQ(reader.again(R"({"a": "\u0041\n\"\\\u00e9"})"), "{\"a\":\"A\\u000a\\\"\\\\\xc3\xa9\"}");
  EXPECT_EQ(reader.again(R"({"a": 9007199254740992, "b": 18446744073709551615, "c": 1e300})"),
            R"({"c":1e+300,"b":18446744073709551616,"a":9007199254740992})");
}

TEST(Json, OfANameGivenTwiceTheLastIsFound) {
  Reader reader;
  const std::string text = R"({"a": 1, "a": 2})" + std::string(JsonReader::kPaddingBytes, ' ');
  const auto value = reader.json.read_object(text, reader.arena);
  ASSERT_TRUE(value);
  EXPECT_EQ((*value)->member("a")->number, 2);
}

TEST(Json, RefusesWhatIsNoObject) {
  Reader reader;
  for (const char* text : {"", " ", "[]", "1", "\"a\"", "null", "{", "{\"a\":}", "{\"a\":1,}", "{}x", "{'a':1}",
                           "{\"a\":\"\x01\"}", "{\"a\":\"\xff\"}", "{\"a\":01}", "{\"a\":1e999}", "{\"a\":\"\\ud800\"}"}) {
    EXPECT_EQ(reader.again(text), "?") << text;
  }
  EXPECT_EQ(reader.again("{\"a\":\"" + std::string(1024, 'x') + "\"}"), "?") << "too long";
}

TEST(Json, DepthIsBounded) {
  Reader reader;
  const auto nested = [](std::size_t lists) { return "{\"a\":" + std::string(lists, '[') + std::string(lists, ']') + "}"; };
  EXPECT_NE(reader.again(nested(JsonReader::kMostLevels - 2)), "?");
  EXPECT_EQ(reader.again(nested(JsonReader::kMostLevels)), "?");
}

TEST(Json, TellsThatThereIsNoMemory) {
  NoMemory memory;
  JsonReader json(64);
  const std::string text = "{\"a\":1}" + std::string(JsonReader::kPaddingBytes, ' ');
  const auto value = json.read_object(std::string_view(text).substr(0, 7), memory.arena);
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error(), Failure::kNoMemory);
  EXPECT_EQ(write_json(MetadataValue{}, memory.arena).data(), nullptr);
}

}  // namespace
}  // namespace millrace::proxy
