#include "dataplane/stream/chain.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "dataplane/base/rng.h"
#include "nic/heap_pool.h"

namespace millrace::stream {
namespace {

std::string text_of(const Chain& chain) {
  std::string text;
  chain.for_each([&](std::span<const std::uint8_t> part) { text.append(part.begin(), part.end()); });
  return text;
}

std::string random_text(Rng& rng, std::size_t most) {
  std::string text(rng.below(static_cast<std::uint32_t>(most)), ' ');
  for (char& c : text) c = static_cast<char>('a' + rng.below(26));
  return text;
}

struct ChainTest : testing::Test {
  static constexpr std::size_t kBuffer = 1024;
  nic::Slice slice(const std::string& text) {
    nic::Packet packet = packets.allocate(0);
    packet.append(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
    return nic::Slice(std::move(packet));
  }
  nic::HeapPool packets{2000, kBuffer};
  ChainPool pool{packets, 4, 2000};
};
using Chain_Append = ChainTest;
using Chain_Exhaustion = ChainTest;
using Chain_Model = ChainTest;

TEST_F(Chain_Append, KeepsOrderAndSize) {
  Chain chain(pool);
  EXPECT_TRUE(chain.empty());
  EXPECT_TRUE(chain.append_copy("hello "));
  EXPECT_TRUE(chain.append(slice("world")));
  EXPECT_EQ(chain.size(), 11u);
  EXPECT_EQ(text_of(chain), "hello world");
}

TEST_F(Chain_Append, AnEmptySliceIsNothing) {
  Chain chain(pool);
  EXPECT_TRUE(chain.append(nic::Slice()));
  EXPECT_TRUE(chain.append_copy(""));
  EXPECT_EQ(chain.charge(), 0u);
  EXPECT_EQ(pool.nodes_in_use(), 0u);
}

TEST_F(Chain_Append, ChargesWhatBuffersPinNotWhatTheyHold) {
  Chain chain(pool);
  EXPECT_TRUE(chain.append(slice("x")));
  EXPECT_EQ(chain.size(), 1u);
  EXPECT_EQ(chain.charge(), kBuffer);
  chain.clear();
  EXPECT_EQ(chain.charge(), 0u);
  EXPECT_EQ(packets.in_use(), 0u);
}

TEST_F(Chain_Append, SmallSlicesAreCompactedIntoASolelyOwnedTail) {
  Chain chain(pool);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(chain.append(slice("0123456789")));
  EXPECT_EQ(chain.size(), 1000u);
  EXPECT_EQ(packets.in_use(), 1u);
  EXPECT_EQ(chain.charge(), kBuffer);
}

TEST_F(Chain_Append, LargeSlicesAreReferenced) {
  Chain chain(pool);
  EXPECT_TRUE(chain.append_copy("head"));
  nic::Slice large = slice(std::string(Chain::kCompactBytes + 1, 'x'));
  const std::uint8_t* where = large.data();
  EXPECT_TRUE(chain.append(large));
  chain.remove_prefix(4);
  EXPECT_EQ(chain.front().data(), where);
}

TEST_F(Chain_Append, SharedBytesAreNeverWrittenTo) {
  Chain chain(pool);
  EXPECT_TRUE(chain.append(slice("first")));
  const nic::Slice held = chain.front_slice(5);
  EXPECT_TRUE(chain.append(slice("second")));
  EXPECT_TRUE(chain.append_copy("third"));
  EXPECT_EQ(text_of(chain), "firstsecondthird");
  EXPECT_EQ(std::string(held.bytes().begin(), held.bytes().end()), "first");
}

TEST_F(Chain_Append, ACopyLargerThanABufferSpansSeveral) {
  Chain chain(pool);
  const std::string text(5000, 'y');
  EXPECT_TRUE(chain.append_copy(text));
  EXPECT_EQ(text_of(chain), text);
  EXPECT_GE(chain.charge(), chain.size());
}

TEST_F(Chain_Exhaustion, AFailedCopyChangesNothing) {
  nic::HeapPool few(2, kBuffer);
  ChainPool tight(few, 0, 100);
  Chain chain(tight);
  EXPECT_TRUE(chain.append_copy("abc"));
  const std::size_t charge = chain.charge();
  EXPECT_FALSE(chain.append_copy(std::string(3 * kBuffer, 'x')));
  EXPECT_EQ(text_of(chain), "abc");
  EXPECT_EQ(chain.size(), 3u);
  EXPECT_EQ(chain.charge(), charge);
  EXPECT_EQ(few.in_use(), 1u);
  EXPECT_EQ(tight.nodes_in_use(), 1u);
}

TEST_F(Chain_Exhaustion, WithoutNodesAppendingFailsAndChangesNothing) {
  ChainPool tight(packets, 0, 1);
  Chain chain(tight);
  EXPECT_TRUE(chain.append(slice(std::string(kBuffer, 'a'))));
  EXPECT_FALSE(chain.append(slice(std::string(300, 'b'))));
  EXPECT_FALSE(chain.append_copy("c"));
  EXPECT_EQ(chain.size(), kBuffer);
  EXPECT_EQ(packets.in_use(), 1u);
}

TEST_F(Chain_Exhaustion, MovingAPrefixWithoutANodeForTheSplitKeepsEveryByte) {
  ChainPool tight(packets, 0, 2);
  Chain from(tight);
  Chain to(tight);
  EXPECT_TRUE(from.append(slice(std::string(600, 'a'))));
  EXPECT_TRUE(from.append(slice(std::string(600, 'b'))));
  EXPECT_FALSE(from.move_prefix(900, to));
  EXPECT_EQ(text_of(to), std::string(600, 'a'));
  EXPECT_EQ(text_of(from), std::string(600, 'b'));
  EXPECT_EQ(from.size() + to.size(), 1200u);
}

TEST_F(Chain_Append, MoveAssignmentDropsTheOldAndEmptiesTheOther) {
  Chain a(pool);
  Chain b(pool);
  EXPECT_TRUE(a.append_copy("old"));
  EXPECT_TRUE(b.append_copy("new"));
  a = std::move(b);
  EXPECT_EQ(text_of(a), "new");
  EXPECT_TRUE(b.empty());  // a moved-from chain is an empty chain
  EXPECT_TRUE(b.append_copy("again"));
  EXPECT_EQ(text_of(b), "again");
}

TEST_F(Chain_Model, AgreesWithStringsUnderRandomOperations) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Rng rng(seed);
    Chain chains[2] = {Chain(pool), Chain(pool)};
    std::string model[2];
    std::vector<std::pair<nic::Slice, std::string>> held;  // references that must never change
    for (int step = 0; step < 3000; ++step) {
      const std::size_t i = rng.below(2);
      Chain& chain = chains[i];
      Chain& other = chains[1 - i];
      const auto some = rng.below(static_cast<std::uint32_t>(chain.size()) + 1);
      switch (rng.below(8)) {
        case 0: {
          const std::string text = random_text(rng, 3000);
          ASSERT_TRUE(chain.append_copy(text));
          model[i] += text;
          break;
        }
        case 1: {
          const std::string text = random_text(rng, rng.chance(1, 2) ? 40 : kBuffer);
          ASSERT_TRUE(chain.append(slice(text)));
          model[i] += text;
          break;
        }
        case 2:
          chain.remove_prefix(some);
          model[i].erase(0, some);
          break;
        case 3:
        case 4:
          ASSERT_TRUE(chain.move_prefix(some, other));
          model[1 - i] += model[i].substr(0, some);
          model[i].erase(0, some);
          break;
        case 5:
          if (rng.chance(1, 8)) {
            other.append(std::move(chain));
            model[1 - i] += model[i];
            model[i].clear();
          }
          break;
        case 6: {
          std::vector<std::uint8_t> out(rng.below(2000));
          const std::size_t copied = chain.copy_out(some, out);
          ASSERT_EQ(std::string(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(copied)),
                    model[i].substr(some, out.size()));
          break;
        }
        default:
          if (!chain.empty()) {
            const std::size_t count = 1 + rng.below(static_cast<std::uint32_t>(chain.front().size()));
            held.emplace_back(chain.front_slice(count), model[i].substr(0, count));
            if (held.size() > 20) held.erase(held.begin());
          }
      }
      for (std::size_t k = 0; k < 2; ++k) {
        ASSERT_EQ(chains[k].size(), model[k].size());
        ASSERT_EQ(text_of(chains[k]), model[k]) << "seed " << seed << " step " << step;
        ASSERT_GE(chains[k].charge(), chains[k].size());
        ASSERT_EQ(chains[k].empty(), model[k].empty());
        ASSERT_EQ(chains[k].charge() == 0, model[k].empty());
      }
      for (const auto& [bytes, text] : held) ASSERT_EQ(std::string(bytes.bytes().begin(), bytes.bytes().end()), text);
    }
    held.clear();
    chains[0].clear();
    chains[1].clear();
    ASSERT_EQ(packets.in_use(), 0u);
    ASSERT_EQ(pool.nodes_in_use(), 0u);
  }
}

using Chain_Writing = ChainTest;

TEST_F(Chain_Writing, GrowsBehindAndInFrontWithinTheBufferWhereItIsOurs) {
  Chain chain(pool);
  ASSERT_TRUE(chain.append_copy("middle"));
  std::memcpy(chain.grow(4), " end", 4);
  std::memcpy(chain.grow_front(6), "start ", 6);
  EXPECT_EQ(text_of(chain), "start middle end");
  EXPECT_EQ(chain.front().size(), chain.size()) << "one slice still";
  EXPECT_EQ(chain.size(), 16u);
}

TEST_F(Chain_Writing, GrowsIntoFreshBuffersWhereOthersHoldOurs) {
  Chain chain(pool);
  const nic::Slice shared = slice("middle");
  ASSERT_TRUE(chain.append(shared));
  std::memcpy(chain.grow(4), " end", 4);
  std::memcpy(chain.grow_front(6), "start ", 6);
  EXPECT_EQ(text_of(chain), "start middle end");
  EXPECT_EQ(std::string(shared.bytes().begin(), shared.bytes().end()), "middle");
}

TEST_F(Chain_Writing, GrowsInAnEmptyChain) {
  Chain chain(pool);
  std::memcpy(chain.grow_front(3), "abc", 3);
  EXPECT_EQ(text_of(chain), "abc");
}

TEST_F(Chain_Writing, MakeSoleCopiesWhatOthersHoldAndNothingElse) {
  Chain chain(pool);
  const nic::Slice shared = slice(std::string(400, 's'));
  ASSERT_TRUE(chain.append(slice(std::string(400, 'a'))));
  const std::uint8_t* first = chain.front().data();
  ASSERT_TRUE(chain.append(shared));
  ASSERT_TRUE(chain.append(slice(std::string(400, 'b'))));
  ASSERT_TRUE(chain.make_sole());
  EXPECT_EQ(chain.front().data(), first);
  chain.for_each_mutable([](std::span<std::uint8_t> part) { std::ranges::fill(part, std::uint8_t{'x'}); });
  EXPECT_EQ(text_of(chain), std::string(1'200, 'x'));
  EXPECT_EQ(std::string(shared.bytes().begin(), shared.bytes().end()), std::string(400, 's'));
}

TEST_F(Chain_Writing, WithoutMemoryNothingIsLost) {
  Chain chain(pool);
  const nic::Slice shared = slice(std::string(kBuffer, 's'));
  ASSERT_TRUE(chain.append(slice("before")));
  ASSERT_TRUE(chain.append(shared));
  ASSERT_TRUE(chain.append(slice("behind")));
  std::vector<nic::Packet> hoard;
  while (nic::Packet packet = packets.allocate()) hoard.push_back(std::move(packet));
  EXPECT_FALSE(chain.make_sole());
  EXPECT_EQ(text_of(chain), "before" + std::string(kBuffer, 's') + "behind");
  EXPECT_EQ(chain.grow(kBuffer), nullptr);
  EXPECT_EQ(chain.grow_front(kBuffer), nullptr);
  EXPECT_EQ(chain.size(), kBuffer + 12);
}

}  // namespace
}  // namespace millrace::stream
