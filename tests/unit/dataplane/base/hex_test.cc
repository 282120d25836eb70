#include "dataplane/base/hex.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(Hex, WritesTwoDigitsForEachByte) {
  const std::uint8_t bytes[] = {0x00, 0x09, 0xa0, 0xff};
  EXPECT_EQ(to_hex(bytes), "0009a0ff");
  EXPECT_EQ(to_hex({}), "");
}

}  // namespace
}  // namespace millrace
