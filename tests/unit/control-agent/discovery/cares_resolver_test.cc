// c-ares against a DNS server on a socket of this process.
#include "control-agent/discovery/cares_resolver.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>

namespace millrace::agent {
namespace {

using ::testing::ElementsAre;
using Status = NameAnswer::Status;

/// Answers one question at a time, with what the test says.
class FakeServer {
 public:
  FakeServer() : socket_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    socklen_t size = sizeof address;
    EXPECT_EQ(getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~FakeServer() { close(socket_); }

  [[nodiscard]] SocketAddress address() const { return {IpAddress::v4(127, 0, 0, 1), port_}; }
  [[nodiscard]] int descriptor() const { return socket_; }

  /// `code`: of the response; `records`: the data of each, with `ttl`.
  void answer(std::uint8_t code, const std::vector<std::string>& records, std::uint32_t ttl) {
    std::array<std::uint8_t, 512> query{};
    sockaddr_in from{};
    socklen_t from_size = sizeof from;
    const ssize_t got = recvfrom(socket_, query.data(), query.size(), 0, reinterpret_cast<sockaddr*>(&from), &from_size);
    ASSERT_GT(got, 12);
    std::size_t end = 12;
    while (query[end] != 0) end += query[end] + 1u;
    end += 5;  // the root, type and class
    std::string reply(reinterpret_cast<const char*>(query.data()), end);
    reply[2] = static_cast<char>(0x81);
    reply[3] = static_cast<char>(0x80 | code);
    reply[7] = static_cast<char>(records.size());
    reply[9] = reply[11] = 0;
    for (const std::string& data : records) {
      reply += std::string("\xc0\x0c\x00", 3) + (data.size() == 4 ? '\x01' : '\x1c') + std::string("\x00\x01", 2);
      for (int shift = 24; shift >= 0; shift -= 8) reply += static_cast<char>((ttl >> shift) & 0xff);
      reply += '\0';
      reply += static_cast<char>(data.size());
      reply += data;
    }
    sendto(socket_, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), from_size);
  }

 private:
  int socket_;
  std::uint16_t port_ = 0;
};

class CaresResolverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = CaresResolver::create({.servers = {server_.address()}, .no_search_domains = true});
    ASSERT_TRUE(made) << made.error();
    resolver_ = std::move(*made);
  }
  /// Drives both sides until the answer is there.
  NameAnswer ask(IpFamily family, std::uint8_t code, const std::vector<std::string>& records, std::uint32_t ttl = 60) {
    std::optional<NameAnswer> answer;
    resolver_->resolve("name.test", family, [&](NameAnswer given) { answer = std::move(given); });
    EXPECT_TRUE(resolver_->timeout());
    for (int i = 0; i < 100 && !answer; ++i) {
      std::vector<pollfd> waiting{{.fd = server_.descriptor(), .events = POLLIN, .revents = 0}};
      resolver_->add_descriptors(waiting);
      poll(waiting.data(), waiting.size(), 100);
      if (waiting[0].revents != 0) server_.answer(code, records, ttl);
      waiting.erase(waiting.begin());
      resolver_->process(waiting);
    }
    return answer.value_or(NameAnswer{.status = Status::kFailed, .addresses = {}, .ttl = Duration::seconds(-1)});
  }

  FakeServer server_;
  std::unique_ptr<CaresResolver> resolver_;
};

TEST_F(CaresResolverTest, FindsAddressesAndTheirTimeToLive) {
  const NameAnswer v4 = ask(IpFamily::kV4, 0, {std::string("\xc6\x12\x00\x01", 4), std::string("\xc6\x12\x00\x02", 4)}, 77);
  EXPECT_EQ(v4.status, Status::kFound);
  EXPECT_THAT(v4.addresses, ElementsAre(*IpAddress::parse("198.18.0.1"), *IpAddress::parse("198.18.0.2")));
  EXPECT_EQ(v4.ttl, Duration::seconds(77));
  const NameAnswer v6 = ask(IpFamily::kV6, 0, {std::string("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", 16)});
  EXPECT_THAT(v6.addresses, ElementsAre(*IpAddress::parse("2001:db8::7")));
}

TEST_F(CaresResolverTest, ToldApart) {
  constexpr std::uint8_t kServerFailure = 2;
  constexpr std::uint8_t kNoSuchName = 3;
  EXPECT_EQ(ask(IpFamily::kV4, 0, {}).status, Status::kEmpty);
  EXPECT_EQ(ask(IpFamily::kV4, kNoSuchName, {}).status, Status::kEmpty);
  EXPECT_EQ(ask(IpFamily::kV4, kServerFailure, {}).status, Status::kFailed);
}

TEST_F(CaresResolverTest, WhoStillWaitsAtTheEndHearsNothing) {
  bool heard = false;
  resolver_->resolve("name.test", IpFamily::kV4, [&](const NameAnswer&) { heard = true; });
  resolver_.reset();
  EXPECT_FALSE(heard);
}

}  // namespace
}  // namespace millrace::agent
