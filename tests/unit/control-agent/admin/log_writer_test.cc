// Access log lines on their way from a worker's ring to a file.
#include "control-agent/log_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace millrace::agent {
namespace {

namespace fs = std::filesystem;

std::string content(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class LogWriterTest : public ::testing::Test {
 protected:
  LogWriterTest() : directory_(fs::temp_directory_path() / ("millrace-log-" + std::to_string(getpid()))) {
    fs::create_directories(directory_);
  }
  ~LogWriterTest() override { fs::remove_all(directory_); }

  // The writer works on its own thread; it looks every 50 ms.
  static void expect_soon(const fs::path& path, const std::string& expected) {
    for (int i = 0; i < 200 && content(path) != expected; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(content(path), expected);
  }

  fs::path directory_;
  report::WorkerReport worker_{0, 4096};
};

TEST_F(LogWriterTest, WritesEachLineToItsSink) {
  const LogWriter writer({{directory_ / "a"}, {directory_ / "b"}}, {&worker_});
  worker_.log.push(0, "one\n");
  worker_.log.push(1, "two\n");
  worker_.log.push(0, "three\n");
  expect_soon(directory_ / "a", "one\nthree\n");
  expect_soon(directory_ / "b", "two\n");
}

TEST_F(LogWriterTest, WritesWhatIsLeftWhenItEnds) {
  {
    const LogWriter writer({{directory_ / "a"}}, {&worker_});
    worker_.log.push(0, "last\n");
  }
  EXPECT_EQ(content(directory_ / "a"), "last\n");
}

TEST_F(LogWriterTest, OpensSinksThatAreAddedWhileItRuns) {
  LogWriter writer({{directory_ / "a"}}, {&worker_});
  ASSERT_TRUE(writer.open({{directory_ / "a"}, {directory_ / "b"}}));
  worker_.log.push(1, "two\n");
  worker_.log.push(0, "one\n");
  expect_soon(directory_ / "a", "one\n");
  expect_soon(directory_ / "b", "two\n");
}

TEST_F(LogWriterTest, OfNewSinksAllOpenOrNone) {
  LogWriter writer({{directory_ / "a"}}, {&worker_});
  const auto opened = writer.open({{directory_ / "a"}, {directory_ / "b"}, {directory_ / "none" / "c"}});
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error(), ::testing::HasSubstr("none/c cannot be opened: No such file or directory"));
  ASSERT_TRUE(writer.open({{directory_ / "a"}, {directory_ / "d"}}));
  worker_.log.push(1, "four\n");
  expect_soon(directory_ / "d", "four\n");
}

TEST_F(LogWriterTest, ReopenFollowsARenamedFile) {
  LogWriter writer({{directory_ / "a"}}, {&worker_});
  worker_.log.push(0, "old\n");
  expect_soon(directory_ / "a", "old\n");
  fs::rename(directory_ / "a", directory_ / "a.1");
  writer.reopen();
  for (int i = 0; i < 200 && !fs::exists(directory_ / "a"); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  worker_.log.push(0, "new\n");
  expect_soon(directory_ / "a", "new\n");
  EXPECT_EQ(content(directory_ / "a.1"), "old\n");
}

TEST_F(LogWriterTest, SinkThatCannotBeOpenedIsNamed) {
  const std::string path = directory_ / "missing" / "log";
  try {
    const LogWriter writer({{path}}, {&worker_});
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr(path));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("No such file"));
  }
}

TEST(LogRing, KeepsLinesAcrossItsEnd) {
  report::LogRing ring(4096);
  std::string expected, seen;
  for (int round = 0; round < 500; ++round) {
    const std::string line(static_cast<std::size_t>(1 + round % 97), static_cast<char>('a' + round % 26));
    ASSERT_TRUE(ring.push(7, line));
    expected += line;
    ring.drain([&](std::uint32_t sink, std::string_view first, std::string_view second) {
      EXPECT_EQ(sink, 7u);
      seen.append(first).append(second);
    });
  }
  EXPECT_EQ(seen, expected);
}

TEST(LogRing, DropsAndCountsWhatDoesNotFit) {
  report::LogRing ring(4096);
  int taken = 0;
  while (ring.push(0, std::string(100, 'x'))) ++taken;
  EXPECT_EQ(taken, 4096 / 108);
  EXPECT_EQ(ring.dropped(), 1u);
  EXPECT_EQ(ring.drain([](auto...) {}), static_cast<std::size_t>(taken));
  EXPECT_TRUE(ring.push(0, "room again"));
}

}  // namespace
}  // namespace millrace::agent
