// Chains of plain text through records and back: whatever the slices, the sizes and the engine, and without a byte written that
// somebody else holds.
#include "dataplane/secure/record_io.h"

#include <gtest/gtest.h>

#include <string>

#include "dataplane/base/rng.h"
#include "nic/heap_pool.h"
#include "tls/engines/ipsec_mb_engine.h"

namespace millrace::secure {
namespace {

using stream::Chain;
using tls::Alert;
using tls::ContentType;

std::string text_of(const Chain& chain) {
  std::string text;
  chain.for_each([&](std::span<const std::uint8_t> part) { text.append(part.begin(), part.end()); });
  return text;
}

std::string random_text(Rng& rng, std::size_t size) {
  std::string text(size, ' ');
  for (char& c : text) c = static_cast<char>(rng.below(256));
  return text;
}

// PendingRecord refers to its stream and never looks at it.
TlsStream& nobody() {
  static std::uint8_t place = 0;
  return reinterpret_cast<TlsStream&>(place);
}

class SecureRecordIo : public testing::TestWithParam<std::uint16_t> {
 protected:
  nic::Slice slice(std::string_view text) {
    nic::Packet packet = packets.allocate();
    packet.append(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
    return nic::Slice(std::move(packet));
  }

  // Plain text in, records at the end of `cipher`.
  void seal(Chain& plain, std::size_t most = tls::kMostPlaintextBytes) {
    while (!plain.empty()) {
      PendingRecord record(nobody(), chains);
      ASSERT_TRUE(prepare_seal(sealer, ContentType::kApplicationData, plain, record_text(plain, most), record));
      ASSERT_TRUE(engine->submit(record));
      ASSERT_EQ(engine->collect(), &record);
      ASSERT_TRUE(record.good);
      std::ranges::copy(record.tag, record.tag_in_record);
      cipher.append(std::move(record.bytes));
      ++records;
    }
  }

  // All whole records of `cipher`.
  std::string open() {
    std::string text;
    for (;;) {
      PendingRecord record(nobody(), chains);
      const auto taken = prepare_open(opener, cipher, record);
      EXPECT_TRUE(taken);
      if (!taken || *taken == Taken::kIncomplete) return text;
      EXPECT_TRUE(engine->submit(record));
      EXPECT_EQ(engine->collect(), &record);
      EXPECT_TRUE(record.good);
      const auto content = opener.content_of(record.header, record.text);
      EXPECT_TRUE(content);
      EXPECT_EQ(content->type, ContentType::kApplicationData);
      text += text_of(record.bytes).substr(0, content->size);
    }
  }

  nic::HeapPool packets{4'000};
  stream::ChainPool chains{packets, 64, 20'000};
  std::unique_ptr<tls::RecordEngine> engine = tls::make_ipsec_mb_engine();
  const tls::CipherSuite& suite = *tls::find_cipher_suite(GetParam());
  tls::TrafficKeys keys = {tls::Secret(tls::key_bytes(suite.aead)), tls::Secret(tls::kNonceBytes - suite.explicit_nonce_bytes())};
  tls::RecordSealer sealer{*engine, suite, keys, 1, 77};
  tls::RecordOpener opener{*engine, suite, keys, 1};
  Chain cipher{chains};
  int records = 0;
};
INSTANTIATE_TEST_SUITE_P(Suites, SecureRecordIo, testing::Values(0x1301, 0x1303, 0xc02f, 0xcca8));

TEST_P(SecureRecordIo, WhatGoesInComesOutHoweverItIsCut) {
  Rng rng(GetParam());
  for (int round = 0; round < 40; ++round) {
    Chain plain(chains);
    std::string all;
    for (std::uint32_t i = 1 + rng.below(80); i > 0; --i) {
      const std::string text = random_text(rng, 1 + rng.below(i % 3 == 0 ? 20 : 1'500));
      all += text;
      ASSERT_TRUE(plain.append(slice(text)));
    }
    seal(plain, round % 2 == 0 ? tls::kMostPlaintextBytes : RecordSizer::kSmallText);
    // On the way it is cut into segments.
    Chain arrived(chains);
    while (!cipher.empty()) {
      ASSERT_TRUE(cipher.move_prefix(std::min<std::size_t>(cipher.size(), 1 + rng.below(1'460)), arrived));
    }
    std::string text;
    while (!arrived.empty()) {
      ASSERT_TRUE(arrived.move_prefix(std::min<std::size_t>(arrived.size(), 1 + rng.below(3'000)), cipher));
      text += open();
    }
    ASSERT_TRUE(text == all) << "round " << round;
    ASSERT_TRUE(cipher.empty());
  }
  EXPECT_EQ(packets.in_use(), 0u);
}

TEST_P(SecureRecordIo, WhatOthersHoldIsNotWritten) {
  nic::Slice mine = slice("a body that is kept for a retry");
  Chain plain(chains);
  ASSERT_TRUE(plain.append_copy("head: "));
  ASSERT_TRUE(plain.append(mine));
  seal(plain);
  EXPECT_EQ(std::string(mine.bytes().begin(), mine.bytes().end()), "a body that is kept for a retry");
  EXPECT_EQ(open(), "head: a body that is kept for a retry");
}

TEST_P(SecureRecordIo, OneSliceOfOursBecomesOneSliceOnTheWire) {
  Chain plain(chains);
  ASSERT_TRUE(plain.append(slice(std::string(1'400, 'x'))));
  const std::uint8_t* before = plain.front().data();
  seal(plain);
  EXPECT_EQ(cipher.front().size(), cipher.size());
  EXPECT_EQ(cipher.front().data() + sealer.header_bytes(), before) << "sealed where it lies";
}

TEST_P(SecureRecordIo, RecordsEndWhereSlicesEnd) {
  Chain plain(chains);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(plain.append(slice(std::string(1'448, 'x'))));
  EXPECT_EQ(record_text(plain, tls::kMostPlaintextBytes), 11u * 1'448);
  EXPECT_EQ(record_text(plain, 1'400), 1'400u) << "a slice that is too long is cut";
}

TEST_P(SecureRecordIo, ARecordInVeryManyPartsIsPutTogether) {
  Chain plain(chains);
  ASSERT_TRUE(plain.append_copy(std::string(10'000, 'y')));
  seal(plain);
  Chain arrived(chains);
  while (!cipher.empty()) {
    nic::Slice part = cipher.front_slice(std::min<std::size_t>(cipher.front().size(), 60));
    cipher.remove_prefix(part.size());
    ASSERT_TRUE(arrived.append(std::move(part)));
  }
  cipher = std::move(arrived);
  EXPECT_EQ(open(), std::string(10'000, 'y'));
}

TEST_P(SecureRecordIo, NothingIsLostWhenBuffersRunOut) {
  Chain plain(chains);
  nic::Slice shared = slice(std::string(1'000, 'z'));
  ASSERT_TRUE(plain.append(shared));
  std::vector<nic::Packet> hoard;
  while (nic::Packet packet = packets.allocate()) hoard.push_back(std::move(packet));
  PendingRecord record(nobody(), chains);
  EXPECT_FALSE(prepare_seal(sealer, ContentType::kApplicationData, plain, 1'000, record));
  EXPECT_EQ(plain.size(), 1'000u);
  EXPECT_TRUE(record.bytes.empty());
  hoard.clear();
  seal(plain);
  EXPECT_EQ(open(), std::string(1'000, 'z')) << "the number of the record was not used up";
}

TEST_P(SecureRecordIo, AnIncompleteRecordWaitsAndAForeignOneIsAnAlert) {
  PendingRecord record(nobody(), chains);
  ASSERT_TRUE(cipher.append_copy(std::string("\x17\x03\x03\x01", 4)));
  EXPECT_EQ(prepare_open(opener, cipher, record), Taken::kIncomplete);
  ASSERT_TRUE(cipher.append_copy(std::string("\x00", 1)));
  EXPECT_EQ(prepare_open(opener, cipher, record), Taken::kIncomplete);
  cipher.clear();
  ASSERT_TRUE(cipher.append_copy("GET / HTTP/1.1\r\n"));
  EXPECT_FALSE(prepare_open(opener, cipher, record));
}

}  // namespace
}  // namespace millrace::secure
