#include "dataplane/proxy/policy/accept_encoding.h"

#include <gtest/gtest.h>

namespace millrace::proxy::test {
namespace {

using enum EncodingChoice;

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

}  // namespace
}  // namespace millrace::proxy::test
