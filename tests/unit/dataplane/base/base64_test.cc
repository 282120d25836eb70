#include "dataplane/base/base64.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace {
namespace {

std::optional<std::string> decoded(std::string_view text) {
  std::string out(base64_decoded_size(text.size()), '\0');
  const auto size = decode_base64url(text, out);
  if (!size) return std::nullopt;
  EXPECT_EQ(*size, out.size());
  return out;
}

std::string encoded(std::string_view bytes) {
  std::string out(base64_encoded_size(bytes.size()), '\0');
  return std::string(encode_base64(bytes, out));
}

TEST(Base64, Rfc4648Vectors) {
  EXPECT_EQ(encoded(""), "");
  EXPECT_EQ(encoded("f"), "Zg==");
  EXPECT_EQ(encoded("fo"), "Zm8=");
  EXPECT_EQ(encoded("foo"), "Zm9v");
  EXPECT_EQ(encoded("foobar"), "Zm9vYmFy");
  EXPECT_EQ(encoded("\xfb\xff"), "+/8=");
  EXPECT_EQ(decoded(""), "");
  EXPECT_EQ(decoded("Zg"), "f");
  EXPECT_EQ(decoded("Zm8"), "fo");
  EXPECT_EQ(decoded("Zm9v"), "foo");
  EXPECT_EQ(decoded("Zm9vYmFy"), "foobar");
  EXPECT_EQ(decoded("-_8"), "\xfb\xff");
}

TEST(Base64, DecodingIsStrict) {
  for (const std::string_view text : {"Zg==", "Zm8=", "Z", "Zm9vY", "Zm9v\n", " Zm9", "+/8", "Zm9.", "Zm\x80v"}) {
    EXPECT_FALSE(decoded(text)) << text;
  }
}

TEST(Base64, NoTwoTextsStandForTheSameBytes) {
  EXPECT_FALSE(decoded("Zh")) << "bits behind the last byte";
  EXPECT_FALSE(decoded("Zm9"));
}

}  // namespace
}  // namespace millrace
