// Whole records, sealed and opened at once.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tls/record_protection.h"

namespace millrace::tls::test {

using Bytes = std::vector<std::uint8_t>;

// A whole record, as it goes over the wire.
inline Bytes seal(RecordEngine& engine, RecordSealer& sealer, ContentType type, Bytes text) {
  Bytes header(sealer.header_bytes());
  RecordJob job;
  sealer.begin(job, type, text.size(), header);
  if (sealer.inner_type_bytes() > 0) text.push_back(static_cast<std::uint8_t>(type));
  std::span<std::uint8_t> part(text);
  job.text = {&part, 1};
  EXPECT_TRUE(engine.submit(job));
  EXPECT_EQ(engine.collect(), &job);
  EXPECT_TRUE(job.good);
  header.insert(header.end(), text.begin(), text.end());
  header.insert(header.end(), job.tag.begin(), job.tag.end());
  return header;
}

struct Opened {
  ContentType type = ContentType::kHandshake;
  Bytes text = {};
  std::optional<Alert> alert = {};
};

inline Opened open(RecordEngine& engine, RecordOpener& opener, Bytes record) {
  const auto fail = [](Alert alert) { return Opened{.alert = alert}; };
  const auto header = RecordHeader::parse(std::span(record).first<kRecordHeaderBytes>());
  if (!header) return fail(header.error());
  EXPECT_EQ(header->length, record.size() - kRecordHeaderBytes);
  const auto size = opener.text_bytes(*header);
  if (!size) return fail(size.error());
  const auto body = std::span(record).subspan(kRecordHeaderBytes);
  const std::size_t nonce = opener.explicit_nonce_bytes();
  RecordJob job;
  opener.begin(job, *header, *size, body.first(nonce), std::span<const std::uint8_t, kTagBytes>(body.last(kTagBytes)));
  std::span<std::uint8_t> part = body.subspan(nonce, *size);
  job.text = {&part, 1};
  EXPECT_TRUE(engine.submit(job));
  EXPECT_EQ(engine.collect(), &job);
  if (!job.good) return fail(Alert::kBadRecordMac);
  const auto content = opener.content_of(*header, job.text);
  if (!content) return fail(content.error());
  return {content->type, Bytes(part.begin(), part.begin() + static_cast<std::ptrdiff_t>(content->size)), std::nullopt};
}

}  // namespace millrace::tls::test
