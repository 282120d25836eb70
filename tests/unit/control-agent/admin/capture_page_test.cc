// What /millrace/pcap may be asked, and the stream it answers with.
#include "control-agent/admin/capture_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>

namespace millrace::agent {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string> kPorts = {"edge", "outside"};

Result<CaptureRequest, std::string> parse(Parameters parameters) { return parse_capture_request(parameters, kPorts); }
std::string error_of(Parameters parameters) {
  const auto request = parse(std::move(parameters));
  return request ? "no error" : request.error();
}

// Ethernet, IPv4, TCP from port 1000 to `port`: what a filter looks at.
std::array<std::uint8_t, 54> tcp_frame(std::uint16_t port) {
  std::array<std::uint8_t, 54> frame{};
  frame[12] = 8;  // IPv4
  frame[14] = 0x45;
  frame[17] = 40;
  frame[23] = 6;  // TCP
  frame[34] = 1000 >> 8;
  frame[35] = 1000 & 0xff;
  frame[36] = static_cast<std::uint8_t>(port >> 8);
  frame[37] = static_cast<std::uint8_t>(port);
  frame[46] = 5 << 4;
  return frame;
}

class RingSession final : public CaptureSession {
 public:
  explicit RingSession(std::vector<report::CaptureRing*> rings) : rings_(std::move(rings)) {}
  [[nodiscard]] const std::vector<report::CaptureRing*>& rings() const override { return rings_; }

 private:
  std::vector<report::CaptureRing*> rings_;
};

template <typename T>
T number_at(const std::string& text, std::size_t position) {
  T value{};
  std::memcpy(&value, text.data() + position, sizeof(value));
  return value;
}

TEST(CaptureRequest, WithoutParametersTakesEverythingForTenSeconds) {
  const auto request = parse({});
  ASSERT_TRUE(request);
  EXPECT_EQ(request->order.ports, 0b11u);
  EXPECT_EQ(request->order.filter, nullptr);
  EXPECT_EQ(request->time, std::chrono::seconds(10));
  EXPECT_EQ(request->order.snap_bytes, limits::kCaptureFrameBytes);
}

TEST(CaptureRequest, TakesPortTimeFramesAndBytes) {
  const auto request = parse({{"port", "outside"}, {"seconds", "3600"}, {"packets", "5"}, {"snaplen", "96"}});
  ASSERT_TRUE(request);
  EXPECT_EQ(request->order.ports, 0b10u);
  EXPECT_EQ(request->time, std::chrono::hours(1));
  EXPECT_EQ(request->packets, 5u);
  EXPECT_EQ(request->order.snap_bytes, 96u);
}

TEST(CaptureRequest, FilterIsATcpdumpExpression) {
  const auto request = parse({{"filter", "tcp dst port 80"}});
  ASSERT_TRUE(request);
  ASSERT_NE(request->order.filter, nullptr);
  const auto wanted = tcp_frame(80);
  const auto other = tcp_frame(81);
  EXPECT_TRUE(request->order.filter->accepts(wanted, wanted.size()));
  EXPECT_FALSE(request->order.filter->accepts(other, other.size()));
  EXPECT_FALSE(request->order.filter->accepts(std::span(wanted).first(14), wanted.size())) << "too short to say";
}

TEST(CaptureRequest, SaysWhatIsAllowed) {
  EXPECT_THAT(error_of({{"port", "inside"}}), HasSubstr("(edge, outside)"));
  EXPECT_THAT(error_of({{"filter", "tcp port"}}), HasSubstr("filter: "));
  EXPECT_THAT(error_of({{"filter", std::string("tcp\0junk", 8)}}), HasSubstr("control characters"));
  EXPECT_THAT(error_of({{"filter", "tcp\n[critical] forged"}}), HasSubstr("control characters"));
  EXPECT_THAT(error_of({{"filter", std::string(1'001, ' ')}}), HasSubstr("at most 1000"));
  EXPECT_THAT(error_of({{"seconds", "3601"}}), HasSubstr("1 to 3600"));
  EXPECT_THAT(error_of({{"packets", "0"}}), HasSubstr("at least 1"));
  EXPECT_THAT(error_of({{"snaplen", "13"}}), HasSubstr("14 to 65536"));
  EXPECT_THAT(error_of({{"count", "1"}}), HasSubstr("there are port, filter, seconds, packets, snaplen"));
}

TEST(CaptureStream, IsAPcapFileWithNanoseconds) {
  report::CaptureRing ring;
  const auto frame = tcp_frame(80);
  ring.push(1'700'000'000'000'000'042, std::span(frame).first(20), frame.size());
  CaptureRequest request;
  request.packets = 1;
  request.order.snap_bytes = 20;
  CaptureStream stream(request, std::make_unique<RingSession>(std::vector{&ring}));
  std::string text;
  std::string part;
  bool more = true;
  while (more) {
    more = stream.next(part);
    text += part;
  }
  ASSERT_EQ(text.size(), 24u + 16u + 20u);
  EXPECT_EQ(number_at<std::uint32_t>(text, 0), 0xa1b23c4d);
  EXPECT_EQ(number_at<std::uint16_t>(text, 4), 2);
  EXPECT_EQ(number_at<std::uint32_t>(text, 16), 20u);
  EXPECT_EQ(number_at<std::uint32_t>(text, 20), 1u) << "Ethernet";
  EXPECT_EQ(number_at<std::uint32_t>(text, 24), 1'700'000'000u);
  EXPECT_EQ(number_at<std::uint32_t>(text, 28), 42u);
  EXPECT_EQ(number_at<std::uint32_t>(text, 32), 20u);
  EXPECT_EQ(number_at<std::uint32_t>(text, 36), frame.size());
  EXPECT_EQ(std::memcmp(text.data() + 40, frame.data(), 20), 0);
}

TEST(CaptureStream, EndsWhenItsTimeIsOver) {
  report::CaptureRing ring;
  CaptureRequest request;
  request.time = std::chrono::seconds(0);
  CaptureStream stream(request, std::make_unique<RingSession>(std::vector{&ring}));
  std::string part;
  EXPECT_TRUE(stream.next(part));  // the file's header
  EXPECT_FALSE(stream.next(part));
}

TEST(CaptureStream, TakesFramesOfAllWorkers) {
  std::array<report::CaptureRing, 2> rings;
  const auto frame = tcp_frame(80);
  for (report::CaptureRing& ring : rings) ring.push(0, frame, frame.size());
  CaptureRequest request;
  CaptureStream stream(request, std::make_unique<RingSession>(std::vector{&rings[0], &rings[1]}));
  std::string part;
  EXPECT_TRUE(stream.next(part));
  EXPECT_TRUE(stream.next(part));
  EXPECT_EQ(part.size(), 2 * (16 + frame.size()));
}

}  // namespace
}  // namespace millrace::agent
