#include "dataplane/proxy/policy/grpc_timeout.h"

#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

using namespace testing;

std::optional<Duration> read(std::string_view text) { return grpc_timeout(Request("/", {{"grpc-timeout", text}}).head.headers); }

TEST(GrpcTimeout, IsReadInEveryUnit) {
  EXPECT_EQ(read("3S"), Duration::seconds(3));
  EXPECT_EQ(read("250m"), Duration::milliseconds(250));
  EXPECT_EQ(read("2M"), Duration::seconds(120));
  EXPECT_EQ(read("1H"), Duration::seconds(3'600));
  EXPECT_EQ(read("1500u"), Duration::milliseconds(2)) << "rounded up";
  EXPECT_EQ(read("1n"), Duration::milliseconds(1));
  EXPECT_EQ(read("0m"), Duration());
  EXPECT_EQ(read("99999999H"), Duration::infinite());
}

TEST(GrpcTimeout, IsNothingWhenItIsNotAsItShouldBe) {
  for (const std::string_view text : {"", "S", "3", "3s", "-3S", "3 S", "123456789S", "3SS", "x3S"})
    EXPECT_FALSE(read(text)) << text;
  EXPECT_FALSE(grpc_timeout(Request().head.headers));
}

std::string_view written(Request& request, Duration timeout) {
  EXPECT_TRUE(set_grpc_timeout(request.head.headers, timeout));
  return request.head.headers.value("grpc-timeout");
}

TEST(GrpcTimeout, IsWrittenInTheFinestUnitThatFits) {
  Request request("/", {{"grpc-timeout", "1S"}});
  EXPECT_EQ(written(request, Duration::milliseconds(1'500)), "1500m");
  EXPECT_EQ(written(request, Duration::milliseconds(99'999'999)), "99999999m");
  EXPECT_EQ(written(request, Duration::seconds(100'000)), "100000S");
  EXPECT_EQ(written(request, Duration::seconds(6'000'000'000)), "1666666H");
  EXPECT_EQ(written(request, Duration::milliseconds(-5)), "0m");
  EXPECT_EQ(request.head.headers.size(), 1U);
}

}  // namespace
}  // namespace millrace::proxy
