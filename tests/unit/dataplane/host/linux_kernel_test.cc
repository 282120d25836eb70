// Unix sockets and shared listeners of the real kernel.
#include "dataplane/host/linux_kernel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "dataplane/host/socket_name.h"

namespace millrace::host {
namespace {

class HostListening : public ::testing::Test {
 protected:
  HostListening() : directory_(std::filesystem::temp_directory_path() / ("mr-host-" + std::to_string(getpid()))) {
    std::filesystem::create_directory(directory_);
  }
  ~HostListening() override { std::filesystem::remove_all(directory_); }

  Place pipe(std::uint32_t mode = 0) const { return pipe_at((directory_ / "socket").string(), mode); }
  static Place pipe_at(const std::string& path, std::uint32_t mode = 0) {
    return {.address = SocketAddress::of_pipe(path), .pipe = path, .mode = mode};
  }
  bool connects(const Place& place) {
    const auto socket = first.connect(place);
    if (!socket) return false;
    const bool good = first.pending_error(*socket) == 0;
    first.close(*socket, false);
    return good;
  }

  const std::filesystem::path directory_;
  ListenSockets sockets;
  LinuxKernel first{sockets};
  LinuxKernel second{sockets};
};

TEST_F(HostListening, AFileHasItsModeAndGoesWithTheLastListener) {
  const Place place = pipe(0640);
  const auto one = first.listen(place);
  const auto two = second.listen(place);
  ASSERT_TRUE(one && two);
  struct stat status{};
  ASSERT_EQ(::stat(place.pipe.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
  first.close_listener(*one, place);
  EXPECT_TRUE(connects(place)) << "the other one still listens";
  second.close_listener(*two, place);
  EXPECT_FALSE(std::filesystem::exists(place.pipe));
}

TEST_F(HostListening, AFileThatNobodyListensAtIsReplaced) {
  const Place place = pipe();
  SocketName name = socket_name(place);
  const int abandoned = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(abandoned, name.get(), name.size), 0);
  ::close(abandoned);
  const auto listener = first.listen(place);
  ASSERT_TRUE(listener);
  EXPECT_TRUE(connects(place));
  first.close_listener(*listener, place);
}

TEST_F(HostListening, AFileThatSomebodyListensAtIsLeftAlone) {
  const Place place = pipe();
  ListenSockets others;
  LinuxKernel other(others);
  const auto theirs = other.listen(place);
  ASSERT_TRUE(theirs);
  EXPECT_EQ(first.listen(place).error(), EADDRINUSE);
  EXPECT_TRUE(connects(place));
  other.close_listener(*theirs, place);
}

TEST_F(HostListening, AFileThatIsNoSocketIsLeftAlone) {
  const Place place = pipe();
  std::ofstream(place.pipe) << "text";
  EXPECT_EQ(first.listen(place).error(), EADDRINUSE);
  EXPECT_EQ(std::filesystem::file_size(place.pipe), 4u);
}

TEST_F(HostListening, AFileThatHasComeToItsPlaceStays) {
  const Place place = pipe();
  const auto listener = first.listen(place);
  ASSERT_TRUE(listener);
  std::filesystem::remove(place.pipe);
  std::ofstream(place.pipe) << "text";
  first.close_listener(*listener, place);
  EXPECT_TRUE(std::filesystem::exists(place.pipe));
}

TEST_F(HostListening, AnAbstractNameHasNoFile) {
  const Place place = pipe_at("@mr-test-" + std::to_string(getpid()));
  const auto listener = first.listen(place);
  ASSERT_TRUE(listener);
  EXPECT_FALSE(std::filesystem::exists(place.pipe));
  EXPECT_TRUE(connects(place));
  first.close_listener(*listener, place);
  EXPECT_FALSE(connects(place));
}

TEST_F(HostListening, AFailureIsToldOnceAndAgainWhenItIsAnother) {
  const Place place = pipe();
  std::ofstream(place.pipe) << "text";
  EXPECT_FALSE(first.listen(place));
  EXPECT_FALSE(second.listen(place));
  const auto failures = sockets.take_failures();
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].where, place.pipe);
  EXPECT_EQ(failures[0].error, EADDRINUSE);
  EXPECT_FALSE(first.listen(place));
  EXPECT_TRUE(sockets.take_failures().empty());
  const Place elsewhere = pipe_at((directory_ / "nowhere" / "socket").string());
  EXPECT_FALSE(first.listen(elsewhere));
  EXPECT_EQ(sockets.take_failures().size(), 1u);
}

TEST_F(HostListening, ConnectionsWaitForWhicheverWorkerComesFirst) {
  const Place place = pipe();
  const auto one = first.listen(place);
  const auto two = second.listen(place);
  ASSERT_TRUE(one && two);
  ASSERT_TRUE(first.watch_listener(*one, this));
  ASSERT_TRUE(second.watch_listener(*two, this));
  const auto client = first.connect(place);
  ASSERT_TRUE(client);
  first.unwatch(*one);
  first.close_listener(*one, place);
  std::array<Kernel::Ready, 4> ready;
  EXPECT_EQ(first.wait(ready), 0u) << "what is closed is not told of any more";
  ASSERT_EQ(second.wait(ready), 1u);
  EXPECT_EQ(ready[0].of, this);
  const auto accepted = second.accept(*two);
  ASSERT_TRUE(accepted);
  second.close(accepted->socket, false);
  first.close(*client, false);
  second.close_listener(*two, place);
}

}  // namespace
}  // namespace millrace::host
