// brotli and zstd alone: every split, little room, little memory, and what is none of them.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "dataplane/proxy/filters/brotli.h"
#include "dataplane/proxy/filters/zstd.h"
#include "nic/heap_pool.h"

namespace millrace::proxy::test {
namespace {

constexpr std::size_t kMegabyte = 1024 * 1024;

struct UntrustedBrotli : BrotliDecompressor {
  explicit UntrustedBrotli(BlockHeap& memory) : BrotliDecompressor(memory, kUntrustedWindowBits) {}
};

struct Brotli {
  using Compressor = BrotliCompressor;
  using Decompressor = UntrustedBrotli;
  using Compression = config::BrotliCompression;
  using Decompression = config::BrotliDecompression;
};
struct Zstd {
  using Compressor = ZstdCompressor;
  using Decompressor = ZstdDecompressor;
  using Compression = config::ZstdCompression;
  using Decompression = config::ZstdDecompression;
};

/// Compressible, and different everywhere.
std::string text_of(std::size_t size) {
  std::string text;
  for (std::size_t i = 0; text.size() < size; ++i) text += "line " + std::to_string(i * i) + "\n";
  text.resize(size);
  return text;
}

template <typename Library>
class Coding : public testing::Test {
 protected:
  static constexpr std::size_t kRoom = 64 * 1024;

  stream::Chain chain(std::string_view text = {}) {
    stream::Chain out(chains);
    EXPECT_TRUE(out.append_copy(text));
    return out;
  }

  static std::string take(stream::Chain& chain) {
    std::string text;
    chain.for_each([&](auto part) { text.append(reinterpret_cast<const char*>(part.data()), part.size()); });
    chain.clear();
    return text;
  }

  /// Runs `codec` over `text`, `step` bytes at a time, and what comes out of it at most about `room` bytes at a time.
  template <typename Codec>
  CodingResult run(Codec& codec, std::string_view text, std::string& out, std::size_t step = std::string_view::npos,
                   std::size_t room = kRoom) {
    stream::Chain in = chain();
    stream::Chain to = chain();
    while (true) {
      EXPECT_TRUE(in.append_copy(text.substr(0, step)));
      text.remove_prefix(std::min(step, text.size()));
      while (true) {
        const CodingResult result = codec.run(in, text.empty(), to, room);
        const std::string part = take(to);
        EXPECT_LE(part.size(), room + 4096);
        out += part;
        if (result != CodingResult::kMore) return result;
        if (part.empty() && in.empty()) break;
      }
      if (text.empty()) return CodingResult::kMore;
    }
  }

  std::string compress(std::string_view text, std::size_t step = std::string_view::npos, std::size_t room = kRoom) {
    typename Library::Compressor codec(heap);
    EXPECT_TRUE(codec.start(settings, {}));
    std::string out;
    EXPECT_EQ(run(codec, text, out, step, room), CodingResult::kEnd);
    return out;
  }

  CodingResult decompress(std::string_view bytes, std::string& out, std::size_t step = std::string_view::npos,
                          std::size_t room = kRoom) {
    typename Library::Decompressor codec(heap);
    EXPECT_TRUE(codec.start({}));
    return run(codec, bytes, out, step, room);
  }

  nic::HeapPool packets{4096};
  stream::ChainPool chains{packets, 64, 8192};
  BlockHeap heap{64 * kMegabyte};
  typename Library::Compression settings;
};

using Libraries = testing::Types<Brotli, Zstd>;
TYPED_TEST_SUITE(Coding, Libraries);

TYPED_TEST(Coding, ComesOutAsItWentInUnderAnySplit) {
  const std::string text = text_of(3'000);
  for (const std::size_t step : {1u, 2u, 7u, 100u, 2'999u, 3'000u}) {
    const std::string packed = this->compress(text, step);
    for (const std::size_t take : {std::size_t{1}, std::size_t{3}, std::size_t{1000}, packed.size()}) {
      std::string out;
      EXPECT_EQ(this->decompress(packed, out, take), CodingResult::kEnd) << step << " " << take;
      EXPECT_EQ(out, text);
    }
  }
}

TYPED_TEST(Coding, ComesOutAsItWentInWithLittleRoom) {
  const std::string text = text_of(2 * kMegabyte);
  const std::string packed = this->compress(text, 50'000, 1);
  EXPECT_LT(packed.size(), text.size() / 2);
  std::string out;
  EXPECT_EQ(this->decompress(packed, out, 50'000, 1), CodingResult::kEnd);
  EXPECT_EQ(out, text);
}

TYPED_TEST(Coding, WhatWentInComesOutAtOnce) {
  typename TypeParam::Compressor compressor(this->heap);
  typename TypeParam::Decompressor decompressor(this->heap);
  ASSERT_TRUE(compressor.start(this->settings, {}) && decompressor.start({}));
  stream::Chain between = this->chain();
  stream::Chain out = this->chain();
  for (const std::string_view word : {"first", "second", "third"}) {
    stream::Chain in = this->chain(word);
    EXPECT_EQ(compressor.run(in, false, between, this->kRoom), CodingResult::kMore);
    EXPECT_EQ(decompressor.run(between, false, out, this->kRoom), CodingResult::kMore);
    EXPECT_EQ(this->take(out), word);
  }
}

TYPED_TEST(Coding, AnEmptyBodyIsEmpty) {
  std::string out;
  EXPECT_EQ(this->decompress(this->compress(""), out), CodingResult::kEnd);
  EXPECT_EQ(this->decompress("", out), CodingResult::kEnd);
  EXPECT_EQ(out, "");
}

TYPED_TEST(Coding, WhatIsSomethingElseIsRefused) {
  const std::string packed = this->compress(text_of(5'000));
  std::string out;
  EXPECT_EQ(this->decompress("this is no such coding at all", out), CodingResult::kBadData);
  EXPECT_EQ(this->decompress(packed.substr(0, packed.size() - 5), out), CodingResult::kBadData) << "it ends in the middle";
  EXPECT_EQ(this->decompress(packed + "and more", out), CodingResult::kBadData);
  EXPECT_EQ(this->decompress(packed + "x", out, packed.size()), CodingResult::kBadData);
}

TYPED_TEST(Coding, ABombIsRefused) {
  const std::string bomb = this->compress(std::string(20 * kMegabyte, '\0'), 50'000);
  ASSERT_LT(bomb.size(), 10'000u);
  std::string out;
  EXPECT_EQ(this->decompress(bomb, out), CodingResult::kBadData);
  EXPECT_LT(out.size(), 200'000u);
}

TYPED_TEST(Coding, AllMemoryIsGivenBack) {
  std::string out;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(this->decompress(this->compress(text_of(100'000)), out), CodingResult::kEnd);
  EXPECT_EQ(this->heap.in_use(), 0u);
}

TYPED_TEST(Coding, WhatIsKnownToBeSmallTakesLittleMemory) {
  typename TypeParam::Compressor unknown(this->heap);
  ASSERT_TRUE(unknown.start(this->settings, {}));
  stream::Chain in = this->chain("a few words");
  stream::Chain out = this->chain();
  EXPECT_EQ(unknown.run(in, true, out, this->kRoom), CodingResult::kEnd);
  const std::size_t before = this->heap.in_use();
  typename TypeParam::Compressor known(this->heap);
  ASSERT_TRUE(known.start(this->settings, 1'000));
  in = this->chain(text_of(1'000));
  EXPECT_EQ(known.run(in, true, out, this->kRoom), CodingResult::kEnd);
  EXPECT_LT(this->heap.in_use() - before, 600'000u);
}

TYPED_TEST(Coding, WithoutMemoryItDoesNotBegin) {
  BlockHeap little(10'000);
  EXPECT_FALSE(typename TypeParam::Compressor(little).start(this->settings, {}));
  BlockHeap scarce(16 * kMegabyte);
  void* most = scarce.allocate(13 * kMegabyte);
  EXPECT_FALSE(typename TypeParam::Compressor(scarce).start(this->settings, {}));
  scarce.release(most);
  EXPECT_TRUE(typename TypeParam::Compressor(scarce).start(this->settings, {}));
}

TYPED_TEST(Coding, MemoryThatEndsInTheMiddleIsNoBadData) {
  const std::string packed = this->compress(text_of(2 * kMegabyte));
  BlockHeap little(300'000);
  typename TypeParam::Decompressor decompressor(little);
  ASSERT_TRUE(decompressor.start({}));
  std::string out;
  EXPECT_EQ(this->run(decompressor, packed, out), CodingResult::kNoMemory);
}

// The encoder would end the process.
TEST(BrotliCoding, TakesNoMoreMemoryThanItHasReserved) {
  nic::HeapPool packets{4096};
  stream::ChainPool chains{packets, 64, 8192};
  const std::string text = text_of(1'100'000);
  for (const int quality : {1, 2, 3, 4, 5, 9, 11}) {
    for (const int bits : {16, 18, 22}) {
      for (const bool known : {false, true}) {
        if (quality > 9 && known) continue;  // it takes long
        BlockHeap heap(std::size_t{4} << 30);
        BrotliCompressor codec(heap);
        const std::size_t size = quality > 9 ? 150'000 : text.size();
        const config::BrotliCompression settings{.quality = quality, .window_bits = bits};
        ASSERT_TRUE(codec.start(settings, known ? std::optional<std::uint64_t>(size) : std::nullopt));
        stream::Chain in(chains);
        stream::Chain out(chains);
        std::size_t most = 0;
        for (std::size_t at = 0; at < size; at += 150'000) {
          ASSERT_TRUE(in.append_copy(std::string_view(text).substr(at, 150'000)));
          EXPECT_EQ(codec.run(in, false, out, kMegabyte), CodingResult::kMore);
          most = std::max(most, heap.in_use());
          out.clear();
        }
        EXPECT_LE(most, codec.reserved() * 5 / 4) << quality << " " << bits << " " << known;
      }
    }
  }
}

TEST(BrotliCoding, OnlyThoseWhoAreTrustedMayHaveTheWidestWindows) {
  BlockHeap heap(64 * kMegabyte);
  nic::HeapPool packets{4096};
  stream::ChainPool chains{packets, 64, 8192};
  const auto decompress = [&](int bits, int widest) {
    BrotliCompressor compressor(heap);
    EXPECT_TRUE(compressor.start({.window_bits = bits}, {}));
    stream::Chain text(chains);
    stream::Chain packed(chains);
    stream::Chain out(chains);
    EXPECT_TRUE(text.append_copy("words"));
    EXPECT_EQ(compressor.run(text, true, packed, 1'000), CodingResult::kEnd);
    BrotliDecompressor decompressor(heap, widest);
    EXPECT_TRUE(decompressor.start({}));
    return decompressor.run(packed, true, out, 1'000);
  };
  for (int bits = BROTLI_MIN_WINDOW_BITS; bits <= BROTLI_MAX_WINDOW_BITS; ++bits) {
    EXPECT_EQ(decompress(bits, BrotliDecompressor::kTrustedWindowBits), CodingResult::kEnd) << bits;
    EXPECT_EQ(decompress(bits, BrotliDecompressor::kUntrustedWindowBits),
              bits <= 22 ? CodingResult::kEnd : CodingResult::kBadData)
        << bits;
  }
}

TEST(ZstdCoding, AWindowAboveEightMegabytesIsRefused) {
  BlockHeap heap(64 * kMegabyte);
  nic::HeapPool packets{64};
  stream::ChainPool chains{packets, 64, 64};
  ZstdDecompressor codec(heap);
  ASSERT_TRUE(codec.start({}));
  // RFC 8878 3.1.1: magic, a descriptor without anything, a window of 2^24 bytes; then the header of a last block of no bytes.
  const std::string frame{"\x28\xb5\x2f\xfd\x00\x70\x01\x00\x00", 9};
  stream::Chain in(chains);
  stream::Chain out(chains);
  ASSERT_TRUE(in.append_copy(frame));
  EXPECT_EQ(codec.run(in, true, out, 1), CodingResult::kBadData);
  ZstdDecompressor other(heap);
  ASSERT_TRUE(other.start({}));
  in.clear();
  std::string allowed = frame;
  allowed[5] = '\x68';
  ASSERT_TRUE(in.append_copy(allowed));
  EXPECT_EQ(other.run(in, true, out, 1), CodingResult::kEnd);
}

TEST(ZstdCoding, TheLargestLevelStaysWithinEightMegabytes) {
  BlockHeap heap(std::size_t{256} << 20);
  nic::HeapPool packets{64};
  stream::ChainPool chains{packets, 64, 64};
  ZstdCompressor codec(heap);
  ASSERT_TRUE(codec.start({.level = 22}, {}));
  EXPECT_LT(heap.in_use(), std::size_t{128} << 20);
  stream::Chain in(chains);
  stream::Chain out(chains);
  ASSERT_TRUE(in.append_copy("words"));
  EXPECT_EQ(codec.run(in, true, out, 1000), CodingResult::kEnd);
  ZSTD_frameHeader header;
  ASSERT_EQ(ZSTD_getFrameHeader(&header, out.front().data(), out.size()), 0u);
  EXPECT_LE(header.windowSize, 8 * kMegabyte);
}

}  // namespace
}  // namespace millrace::proxy::test
