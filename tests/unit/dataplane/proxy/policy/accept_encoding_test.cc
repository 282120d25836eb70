#include "dataplane/proxy/policy/accept_encoding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

namespace millrace::proxy::test {
namespace {

using enum EncodingChoice;

/// With one coding.
EncodingChoice choose_encoding(std::string_view accept_encoding, std::string_view coding) {
  const std::array offered = {OfferedCoding{.name = coding}};
  return proxy::choose_encoding(accept_encoding, offered).choice;
}

/// Of several, in this order; `first` is to be chosen first.
std::string_view chosen(std::string_view accept_encoding, std::initializer_list<std::string_view> codings,
                        std::initializer_list<std::string_view> first = {}) {
  std::vector<OfferedCoding> offered;
  for (const std::string_view coding : codings)
    offered.push_back({.name = coding, .choose_first = std::ranges::find(first, coding) != first.end()});
  return proxy::choose_encoding(accept_encoding, offered).coding;
}

TEST(AcceptEncoding, ChoosesByWeight) {
  EXPECT_EQ(choose_encoding({}, "gzip"), kNoHeader);
  EXPECT_EQ(choose_encoding("gzip, deflate, br", "gzip"), kCoding);
  EXPECT_EQ(choose_encoding("GZip;Q=0.1", "gzip"), kCoding);
  EXPECT_EQ(choose_encoding("identity", "gzip"), kIdentity);
  EXPECT_EQ(choose_encoding("identity;q=0.5, gzip;q=0.6", "gzip"), kCoding);
  EXPECT_EQ(choose_encoding("identity;q=0.6, gzip;q=0.5", "gzip"), kIdentity);
  EXPECT_EQ(choose_encoding("identity, gzip", "gzip"), kIdentity) << "of equal weights the first";
  EXPECT_EQ(choose_encoding("*", "gzip"), kWildcard);
  EXPECT_EQ(choose_encoding("br", "gzip"), kNotValid);
  EXPECT_EQ(choose_encoding("", "gzip"), kNotValid);
}

TEST(AcceptEncoding, WhatHasNoWeightIsRefused) {
  EXPECT_EQ(choose_encoding("gzip;q=0, *;q=1", "gzip"), kNotValid);
  EXPECT_EQ(choose_encoding("*;q=0, gzip;q=1", "gzip"), kCoding);
  EXPECT_EQ(choose_encoding("gzip;q=0.000", "gzip"), kNotValid);
  EXPECT_EQ(choose_encoding("gzip;q=x", "gzip"), kNotValid);
  EXPECT_EQ(choose_encoding("gzip ; q = 0.001", "gzip"), kCoding);
}

TEST(AcceptEncoding, ChoosesAmongSeveral) {
  EXPECT_EQ(chosen("gzip, br", {"br", "gzip"}), "gzip") << "of equal weights the one that the client names first";
  EXPECT_EQ(chosen("gzip;q=0.8, br", {"gzip", "br"}), "br");
  EXPECT_EQ(chosen("deflate, zstd;q=0.1", {"gzip", "zstd"}), "zstd");
  EXPECT_EQ(chosen("*", {"br", "gzip"}), "br") << "ours, where the client does not mind";
  EXPECT_EQ(chosen("br;q=0, *", {"br", "gzip"}), "gzip");
  EXPECT_EQ(chosen("br;q=0, gzip;q=0, *", {"br", "gzip"}), "");
  EXPECT_EQ(chosen("identity, br", {"br"}), "");
  EXPECT_EQ(chosen("gzip", {}), "");
}

TEST(AcceptEncoding, WhatIsToBeChosenFirstWinsTies) {
  EXPECT_EQ(chosen("gzip, br", {"gzip", "br"}, {"br"}), "br");
  EXPECT_EQ(chosen("br, gzip", {"gzip", "br"}, {"br"}), "br");
  EXPECT_EQ(chosen("gzip, br;q=0.9", {"gzip", "br"}, {"br"}), "gzip") << "weights count before";
  EXPECT_EQ(chosen("gzip, br, zstd", {"gzip", "br", "zstd"}, {"gzip", "br"}), "br") << "the last one that wants to be the first";
  EXPECT_EQ(chosen("gzip, br;q=0, zstd", {"gzip", "br", "zstd"}, {"zstd", "br"}), "zstd");
  EXPECT_EQ(chosen("*", {"gzip", "br"}, {"br"}), "br");
  EXPECT_EQ(chosen("identity, br", {"br"}, {"br"}), "") << "who wants none gets none";
}

}  // namespace
}  // namespace millrace::proxy::test
