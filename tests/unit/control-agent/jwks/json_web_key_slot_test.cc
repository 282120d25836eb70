// Keys that change while others read them.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "config/model/filters/json_web_keys.h"

namespace millrace::config {
namespace {

/// So many keys, each with the text `id`.
JsonWebKeys keys(std::size_t count, const std::string& id) {
  JsonWebKeys out;
  for (std::size_t i = 0; i < count; ++i) out.push_back({.id = id, .algorithm = {}, .key = nullptr});
  return out;
}

TEST(JsonWebKeySlot, IsAwaitedUntilTheFirstFetchHasEnded) {
  JsonWebKeySlot slot(1);
  EXPECT_TRUE(slot.is_awaited());
  EXPECT_EQ(slot.read(0).keys(), nullptr);
  slot.give_up_waiting();
  EXPECT_FALSE(slot.is_awaited());
  EXPECT_EQ(slot.read(0).keys(), nullptr);
  slot.replace(keys(2, "a"));
  EXPECT_FALSE(slot.is_awaited());
  ASSERT_NE(slot.read(0).keys(), nullptr);
  EXPECT_EQ(slot.read(0).keys()->size(), 2u);
}

TEST(JsonWebKeySlot, WhatIsReadStaysWhereItIs) {
  JsonWebKeySlot slot(2);
  slot.replace(keys(1, "old"));
  const auto reading = slot.read(1);
  slot.replace(keys(1, "new"));
  slot.replace(keys(1, "newest"));
  EXPECT_EQ(reading.keys()->front().id, "old");
  EXPECT_EQ(slot.read(0).keys()->front().id, "newest");
}

// For the sanitizers, too: a reader would see freed keys.
TEST(JsonWebKeySlot, ReadersNeverSeeHalfASet) {
  constexpr std::size_t kReaders = 3;
  JsonWebKeySlot slot(kReaders);
  slot.replace(keys(1, std::string(1, 'x')));
  std::atomic<bool> over{false};
  std::atomic<std::size_t> wrong{0};
  std::vector<std::thread> readers;
  for (std::uint32_t worker = 0; worker < kReaders; ++worker) {
    readers.emplace_back([&, worker] {
      while (!over) {
        const auto reading = slot.read(worker);
        for (const JsonWebKey& key : *reading.keys()) wrong += key.id.size() == reading.keys()->size() ? 0 : 1;
      }
    });
  }
  for (std::size_t i = 0; i < 20'000; ++i) slot.replace(keys(1 + i % 40, std::string(1 + i % 40, 'x')));
  over = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0u);
}

}  // namespace
}  // namespace millrace::config
