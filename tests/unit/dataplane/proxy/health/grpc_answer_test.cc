#include "dataplane/proxy/health/grpc_answer.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>

namespace millrace::proxy {
namespace {

enum class Answer : std::uint8_t { kServing, kOther, kNone };

// Read in parts of every size.
Answer read(std::string_view body) {
  std::optional<Answer> found;
  for (std::size_t size = 1; size <= body.size() + 1; ++size) {
    GrpcAnswerReader reader;
    bool fits = true;
    for (std::size_t at = 0; at < body.size() && fits; at += size) {
      const std::string_view part = body.substr(at, size);
      fits = reader.read({reinterpret_cast<const std::uint8_t*>(part.data()), part.size()});
    }
    const Answer answer = !fits ? Answer::kNone : reader.is_serving() ? Answer::kServing : Answer::kOther;
    if (found) {
      EXPECT_EQ(answer, *found) << "in parts of " << size;
    }
    found = answer;
  }
  return *found;
}

std::string message(const std::string& fields, char flag = 0) {
  std::string out(1, flag);
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(fields.size() >> shift));
  return out + fields;
}
const std::string kStatus = "\x08";  // its tag
const std::string kServing = message(kStatus + "\1");

TEST(GrpcAnswer, SaysTheStatus) {
  EXPECT_EQ(read(kServing), Answer::kServing);
  EXPECT_EQ(read(message(kStatus + '\0')), Answer::kOther) << "UNKNOWN";
  EXPECT_EQ(read(message(kStatus + "\2")), Answer::kOther) << "NOT_SERVING";
  EXPECT_EQ(read(message(kStatus + "\3")), Answer::kOther) << "SERVICE_UNKNOWN";
  EXPECT_EQ(read(message(kStatus + "\x81\x80\x80\x80\x80\x80\x80\x80\x80\1")), Answer::kServing) << "ten bytes, cut to 32 bits";
  EXPECT_EQ(read(message(kStatus + "\2" + kStatus + "\1")), Answer::kServing) << "the last one counts";
}

TEST(GrpcAnswer, IsToBeThereAsAWhole) {
  EXPECT_EQ(read(""), Answer::kOther);
  EXPECT_EQ(read(kServing.substr(0, kServing.size() - 1)), Answer::kOther);
  EXPECT_EQ(read(message("")), Answer::kOther) << "a message of no bytes is none";
  EXPECT_EQ(read(message("") + kServing + message("")), Answer::kServing);
}

TEST(GrpcAnswer, MayHaveFieldsThatNobodyKnowsYet) {
  EXPECT_EQ(read(message("\x12\3abc" + kStatus + "\1" + std::string("\x19") + "12345678" + "\x25" + "1234" + "\x28\5")),
            Answer::kServing);
  EXPECT_EQ(read(message(std::string("\x0a\1\1", 3))), Answer::kOther) << "status, but not a number";
}

TEST(GrpcAnswer, IsOneMessageNotCompressedAndNotLong) {
  EXPECT_EQ(read(kServing + kServing), Answer::kNone);
  EXPECT_EQ(read(message(kStatus + "\1", 1)), Answer::kNone);
  EXPECT_EQ(read(message("", 2)), Answer::kNone);
  const auto padded = [](std::size_t size) {  // a text of that many bytes, less than 16,384
    return message(kStatus + "\1\x12" + std::string{static_cast<char>(size | 0x80), static_cast<char>(size >> 7)} +
                   std::string(size, 'x'));
  };
  EXPECT_EQ(read(padded(GrpcAnswerReader::kMaxMessageBytes - 5)), Answer::kServing);
  EXPECT_EQ(read(padded(GrpcAnswerReader::kMaxMessageBytes - 4)), Answer::kNone);
  EXPECT_EQ(read("\xff\xff\xff\xff\xff\xff"), Answer::kNone);
}

TEST(GrpcAnswer, IsProtobuf) {
  EXPECT_EQ(read(message(kStatus)), Answer::kNone) << "no value";
  EXPECT_EQ(read(message(kStatus + "\xff")), Answer::kNone);
  EXPECT_EQ(read(message(kStatus + std::string(11, '\x81'))), Answer::kNone) << "eleven bytes of a number";
  EXPECT_EQ(read(message(std::string("\0\1", 2))), Answer::kNone) << "field 0";
  EXPECT_EQ(read(message("\x12\4abc")), Answer::kNone) << "a text that is longer than the message";
  EXPECT_EQ(read(message("\x13\x14")), Answer::kNone) << "a group";
  EXPECT_EQ(read(message("\x17")), Answer::kNone) << "wire type 7";
  EXPECT_EQ(read(message("\x11"
                         "1234567")),
            Answer::kNone);
  EXPECT_EQ(read(message("\x15"
                         "123")),
            Answer::kNone);
}

}  // namespace
}  // namespace millrace::proxy
