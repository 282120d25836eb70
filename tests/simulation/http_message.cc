#include "tests/simulation/http_message.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>

#include "tests/simulation/pattern.h"

namespace millrace::sim {
namespace {

constexpr std::size_t kLongestHead = 16'384;

std::optional<std::uint64_t> parse_number(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

int HttpReader::status() const {
  const std::string_view line = start_line();
  if (!line.starts_with("HTTP/1.1 ") || line.size() < 12) return 0;
  return static_cast<int>(parse_number(line.substr(9, 3), 10).value_or(0));
}

std::optional<std::string> HttpReader::field(std::string_view name) const {
  std::string_view rest = head_;
  while (true) {
    const std::size_t end = rest.find("\r\n");
    if (end == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(end + 2);
    const std::string_view line = rest.substr(0, rest.find("\r\n"));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::string found(line.substr(0, colon));
    std::ranges::transform(found, found.begin(), [](char c) { return static_cast<char>(std::tolower(c)); });
    if (found != name) continue;
    const std::size_t value = line.find_first_not_of(' ', colon + 1);
    return std::string(value == std::string_view::npos ? "" : line.substr(value));
  }
}

std::optional<std::uint64_t> HttpReader::number_field(std::string_view name) const {
  const std::optional<std::string> text = field(name);
  return text ? parse_number(*text, 10) : std::nullopt;
}

void HttpReader::on_head() {
  const bool response = head_.starts_with("HTTP/");
  if (field("transfer-encoding") == "chunked") {
    stage_ = Stage::kChunkSize;
  } else if (const auto length = number_field("content-length")) {
    left_ = *length;
    stage_ = left_ == 0 ? Stage::kComplete : Stage::kLength;
  } else if (response) {
    bad_ = true;  // until the connection ends: nobody here sends that
  } else {
    stage_ = Stage::kComplete;
  }
}

void HttpReader::on_line() {
  const std::string line = std::move(line_);
  line_.clear();
  switch (stage_) {
    case Stage::kChunkSize: {
      const auto size = parse_number(std::string_view(line).substr(0, line.find(';')), 16);
      if (!size) {
        bad_ = true;
      } else if (*size == 0) {
        stage_ = Stage::kTrailer;
      } else {
        left_ = *size;
        stage_ = Stage::kChunk;
      }
      break;
    }
    case Stage::kChunkEnd:
      bad_ |= !line.empty();
      stage_ = Stage::kChunkSize;
      break;
    case Stage::kTrailer:
      if (line.empty()) stage_ = Stage::kComplete;
      break;
    default: bad_ = true;
  }
}

std::size_t HttpReader::feed_head(std::span<const std::uint8_t> bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    head_ += static_cast<char>(bytes[i]);
    if (head_.size() > kLongestHead) bad_ = true;
    if (!head_.ends_with("\r\n\r\n")) continue;
    on_head();
    return i + 1;
  }
  return bytes.size();
}

std::size_t HttpReader::feed_line(std::span<const std::uint8_t> bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    line_ += static_cast<char>(bytes[i]);
    if (!line_.ends_with("\r\n")) continue;
    line_.resize(line_.size() - 2);
    on_line();
    return i + 1;
  }
  return bytes.size();
}

std::size_t HttpReader::feed(std::span<const std::uint8_t> bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && !bad_ && stage_ != Stage::kComplete) {
    const std::span<const std::uint8_t> rest = bytes.subspan(taken);
    if (stage_ == Stage::kHead) {
      const std::size_t count = feed_head(rest);
      taken += count;
      if (head_complete()) return taken;  // the caller says whose body follows
    } else if (stage_ == Stage::kLength || stage_ == Stage::kChunk) {
      const std::size_t count = std::min<std::uint64_t>(left_, rest.size());
      wrong_bytes_ += count_wrong(key_, body_bytes_, rest.first(count));
      body_bytes_ += count;
      left_ -= count;
      taken += count;
      if (left_ == 0) stage_ = stage_ == Stage::kLength ? Stage::kComplete : Stage::kChunkEnd;
    } else {
      taken += feed_line(rest);
    }
  }
  return taken;
}

void HttpWriter::start(std::string head_without_framing, std::uint64_t key, std::uint64_t body_bytes, bool chunked) {
  head_ = std::move(head_without_framing);
  head_ += chunked ? "transfer-encoding: chunked\r\n\r\n" : "content-length: " + std::to_string(body_bytes) + "\r\n\r\n";
  key_ = key;
  position_ = 0;
  bytes_ = body_bytes;
  chunked_ = chunked;
  done_ = !chunked && body_bytes == 0;
}

bool HttpWriter::produce(stream::Chain& to) {
  if (!head_.empty()) {
    if (!to.append_copy(head_)) return false;
    head_.clear();
    return true;
  }
  const std::size_t count = std::min<std::uint64_t>(bytes_ - position_, kPieceBytes);
  std::array<std::uint8_t, kPieceBytes + 32> piece{};
  std::size_t size = 0;
  const auto put = [&](std::string_view text) { size += text.copy(reinterpret_cast<char*>(piece.data()) + size, text.size()); };
  if (chunked_ && count > 0) {
    std::array<char, 16> digits{};
    put(std::string_view(digits.data(), static_cast<std::size_t>(std::snprintf(digits.data(), digits.size(), "%zx\r\n", count))));
  }
  fill_pattern(key_, position_, std::span(piece).subspan(size, count));
  size += count;
  if (chunked_ && count > 0) put("\r\n");
  const bool last = position_ + count == bytes_;
  if (chunked_ && last) put("0\r\n\r\n");
  if (!to.append_copy(std::span(std::as_const(piece)).first(size))) return false;
  position_ += count;
  done_ = last;
  return true;
}

}  // namespace millrace::sim
