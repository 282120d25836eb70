// What every engine does to a record, whatever its parts, and every forgery that it finds: instantiated for each engine by the
// tests of its room.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "tests/unit/tls/hex.h"
#include "tls/engines/openssl_engine.h"
#include "tls/record_engine.h"

namespace millrace::tls::test {

struct EngineMaker {
  std::string name;  ///< as the engine says it
  std::function<std::unique_ptr<RecordEngine>()> make;
  std::string variant = {};  ///< of engines of the same name
};

inline std::vector<std::uint8_t> numbers(std::size_t count) {
  std::vector<std::uint8_t> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + 3);
  return bytes;
}

/// The next job that has finished, however long the engine takes for it (a second at most).
inline RecordJob* collect_one(RecordEngine& engine) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  RecordJob* job = nullptr;
  while (job == nullptr && std::chrono::steady_clock::now() < deadline) job = engine.collect();
  return job;
}

struct Sealed {
  std::vector<std::uint8_t> text;
  std::array<std::uint8_t, kTagBytes> tag;
  bool good;
};

/// Runs one job over `text`, cut into parts of at most `part` bytes.
inline Sealed run(RecordEngine& engine, Aead aead, Direction direction, std::vector<std::uint8_t> text, std::size_t part,
                  const std::array<std::uint8_t, kTagBytes>& tag = {}, std::uint8_t additional = 9,
                  std::uint8_t additional_size = 5) {
  const auto key = engine.make_key(aead, direction, numbers(key_bytes(aead)), additional_size);
  EXPECT_NE(key, nullptr);
  std::vector<std::span<std::uint8_t>> parts;
  for (std::size_t at = 0; at < text.size(); at += part)
    parts.push_back(std::span(text).subspan(at, std::min(part, text.size() - at)));
  RecordJob job;
  job.key = key.get();
  job.nonce = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  job.additional.fill(additional);
  job.additional_size = additional_size;
  job.text = parts;
  job.tag = tag;
  EXPECT_TRUE(engine.submit(job));
  EXPECT_EQ(collect_one(engine), &job);
  EXPECT_EQ(engine.collect(), nullptr);
  return {std::move(text), job.tag, job.good};
}

class TlsRecordEngine : public testing::TestWithParam<std::tuple<EngineMaker, Aead>> {
 protected:
  std::unique_ptr<RecordEngine> engine = std::get<0>(GetParam()).make();
  Aead aead = std::get<1>(GetParam());
};

/// For INSTANTIATE_TEST_SUITE_P: "ipsecmb_AES128GCM".
inline std::string case_name(const testing::TestParamInfo<std::tuple<EngineMaker, Aead>>& instance) {
  const auto& [maker, aead] = instance.param;
  std::string name = maker.name + maker.variant + "_" + std::string(to_text(aead));
  std::erase(name, '-');
  return name;
}

TEST_P(TlsRecordEngine, SupportsItAndSaysItsName) {
  EXPECT_EQ(engine->name(), std::get<0>(GetParam()).name);
  EXPECT_TRUE(engine->supports(aead));
}

TEST_P(TlsRecordEngine, OpensWhatItSealed) {
  for (const std::size_t size : std::initializer_list<std::size_t>{0, 1, 15, 16, 17, 1'000, 16'385}) {
    const Sealed sealed = run(*engine, aead, Direction::kSeal, numbers(size), 1'448);
    ASSERT_TRUE(sealed.good);
    if (size >= 15) {
      EXPECT_NE(sealed.text, numbers(size));
    }
    const Sealed opened = run(*engine, aead, Direction::kOpen, sealed.text, 1'448, sealed.tag);
    EXPECT_TRUE(opened.good) << size;
    EXPECT_EQ(opened.text, numbers(size));
  }
}

TEST_P(TlsRecordEngine, PartsMakeNoDifference) {
  const Sealed whole = run(*engine, aead, Direction::kSeal, numbers(3'001), 3'001);
  for (const std::size_t part : std::initializer_list<std::size_t>{1, 7, 16, 64, 187, 188, 200, 1'000}) {
    const Sealed cut = run(*engine, aead, Direction::kSeal, numbers(3'001), part);
    EXPECT_EQ(cut.text, whole.text) << part;
    EXPECT_EQ(cut.tag, whole.tag);
    EXPECT_TRUE(run(*engine, aead, Direction::kOpen, whole.text, part, whole.tag).good);
  }
}

TEST_P(TlsRecordEngine, AllEnginesAgree) {
  const auto other = make_openssl_engine();
  for (const std::uint8_t additional_size : {std::uint8_t{5}, std::uint8_t{13}}) {
    for (const std::size_t size : std::initializer_list<std::size_t>{0, 1, 2'345, 16'385}) {
      const Sealed ours = run(*engine, aead, Direction::kSeal, numbers(size), 1'448, {}, 9, additional_size);
      const Sealed theirs = run(*other, aead, Direction::kSeal, numbers(size), 16'385, {}, 9, additional_size);
      EXPECT_EQ(ours.text, theirs.text) << size;
      EXPECT_EQ(ours.tag, theirs.tag) << size;
    }
  }
}

TEST_P(TlsRecordEngine, FindsEveryChange) {
  const Sealed sealed = run(*engine, aead, Direction::kSeal, numbers(100), 100);
  for (const std::size_t at : std::initializer_list<std::size_t>{0, 50, 99}) {
    auto text = sealed.text;
    text[at] ^= 1;
    EXPECT_FALSE(run(*engine, aead, Direction::kOpen, text, 100, sealed.tag).good);
    EXPECT_FALSE(run(*engine, aead, Direction::kOpen, text, 30, sealed.tag).good);
  }
  for (std::size_t at = 0; at < kTagBytes; ++at) {
    auto tag = sealed.tag;
    tag[at] ^= 0x80;
    EXPECT_FALSE(run(*engine, aead, Direction::kOpen, sealed.text, 100, tag).good);
  }
  EXPECT_FALSE(run(*engine, aead, Direction::kOpen, sealed.text, 100, sealed.tag, 10).good) << "additional data";
  auto longer = sealed.text;
  longer.push_back(0);
  EXPECT_FALSE(run(*engine, aead, Direction::kOpen, longer, 101, sealed.tag).good);
}

TEST_P(TlsRecordEngine, JobsThatAreUnderWayTogetherComeBackInOrder) {
  constexpr std::size_t kJobs = 100;
  const auto key = engine->make_key(aead, Direction::kSeal, numbers(key_bytes(aead)), 5);
  std::vector<std::vector<std::uint8_t>> texts;
  std::vector<std::array<std::span<std::uint8_t>, 3>> parts(kJobs);
  std::array<RecordJob, kJobs> jobs;
  for (std::size_t i = 0; i < kJobs; ++i) texts.push_back(numbers(1'000 + i));
  for (std::size_t i = 0; i < kJobs; ++i) {
    const std::span text(texts[i]);
    parts[i] = {text.first(i + 1), text.subspan(i + 1, 500), text.subspan(i + 501)};
    RecordJob& job = jobs[i];
    job.key = key.get();
    job.nonce = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    job.additional.fill(9);
    job.additional_size = 5;
    job.text = parts[i];
    ASSERT_TRUE(engine->submit(job));
  }
  for (RecordJob& job : jobs) {
    ASSERT_EQ(collect_one(*engine), &job);
    EXPECT_TRUE(job.good);
  }
  EXPECT_EQ(engine->collect(), nullptr);
  for (std::size_t i = 0; i < kJobs; ++i) {
    const Sealed alone = run(*engine, aead, Direction::kSeal, numbers(1'000 + i), 2'000);
    EXPECT_EQ(texts[i], alone.text) << i;
    EXPECT_EQ(jobs[i].tag, alone.tag) << i;
  }
}

// RFC 8439 2.8.2. For AES-GCM, OpenSSL's word is taken (AllEnginesAgree).
TEST_P(TlsRecordEngine, KnowsTheAnswerOfRfc8439) {
  if (aead != Aead::kChaCha20Poly1305) GTEST_SKIP() << "it is about ChaCha20-Poly1305";
  const auto key =
      engine->make_key(aead, Direction::kSeal, unhex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"), 12);
  std::string text =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
  std::span<std::uint8_t> part(reinterpret_cast<std::uint8_t*>(text.data()), text.size());
  RecordJob job;
  job.key = key.get();
  std::ranges::copy(unhex("070000004041424344454647"), job.nonce.begin());
  std::ranges::copy(unhex("50515253c0c1c2c3c4c5c6c7"), job.additional.begin());
  job.additional_size = 12;
  job.text = {&part, 1};
  ASSERT_TRUE(engine->submit(job));
  EXPECT_EQ(collect_one(*engine), &job);
  EXPECT_TRUE(job.good);
  EXPECT_EQ(hex(job.tag), "1ae10b594f09e26a7e902ecbd0600691");
  EXPECT_EQ(hex(part.first(16)), "d31a8d34648e60db7b86afbc53ef7ec2");
}

}  // namespace millrace::tls::test
