// Which key seals when, and for how long it opens.
#include "tls/openssl/ticket_keys.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace millrace::tls {
namespace {

TEST(TlsTicketKeys, AreReadAsEnvoyWritesThem) {
  std::array<std::uint8_t, TicketKey::kBytes> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
  const TicketKey key = TicketKey::read(bytes);
  EXPECT_EQ(key.name[0], 0);
  EXPECT_EQ(key.hmac.bytes()[0], 16);
  EXPECT_EQ(key.hmac.size(), 32u);
  EXPECT_EQ(key.aes.bytes()[0], 48);
  EXPECT_EQ(key.aes.bytes()[31], 79);
}

TEST(TlsTicketKeys, OwnOnesChangeAfterHalfALifetime) {
  TicketKeys keys(100);
  const auto first = keys.sealing(1000);
  ASSERT_TRUE(first);
  EXPECT_EQ(keys.sealing(1049)->name, first->name);
  const auto second = keys.sealing(1050);
  EXPECT_NE(second->name, first->name);
  EXPECT_TRUE(keys.find(first->name, 1099)->renew);
  EXPECT_FALSE(keys.find(second->name, 1099)->renew);
  EXPECT_FALSE(keys.find(first->name, 1100));
  EXPECT_TRUE(keys.find(second->name, 1100));
}

TEST(TlsTicketKeys, NoKeyOpensForLongerThanALifetimeAfterAPause) {
  TicketKeys keys(100);
  const auto first = keys.sealing(1000);
  EXPECT_FALSE(keys.find(first->name, 1100));
}

TEST(TlsTicketKeys, TwelveHoursAtMost) {
  TicketKeys keys(1'000'000);
  const auto first = keys.sealing(0);
  EXPECT_EQ(keys.sealing(12 * 3600 - 1)->name, first->name);
  EXPECT_NE(keys.sealing(12 * 3600)->name, first->name);
}

TEST(TlsTicketKeys, FromSeveralThreads) {
  TicketKeys keys(2);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&keys] {
      for (std::int64_t now = 0; now < 1000; ++now) {
        const auto key = keys.sealing(now);
        ASSERT_TRUE(key);
        (void)keys.find(key->name, now);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace millrace::tls
