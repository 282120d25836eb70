#include "config/compile/grpc_check.h"

#include <gtest/gtest.h>

namespace millrace::config {
namespace {

TEST(GrpcCheckRequest, NamesNobodyOrAService) {
  EXPECT_EQ(grpc_check_request(""), std::string("\0\0\0\0\0", 5));
  EXPECT_EQ(grpc_check_request("a.B"), std::string("\0\0\0\0\5\x0a\3a.B", 10));
}

TEST(GrpcCheckRequest, HasLengthsOfSeveralBytes) {
  const std::string name(300, 'n');
  EXPECT_EQ(grpc_check_request(name), std::string("\0\0\0\1\x2f\x0a\xac\2", 8) + name);
  const std::string border(128, 'n');
  EXPECT_EQ(grpc_check_request(border), std::string("\0\0\0\0\x83\x0a\x80\1", 8) + border);
}

}  // namespace
}  // namespace millrace::config
