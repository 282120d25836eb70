// A kernel whose sockets do what a test says: what can be read, how much can be written, which calls fail.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/host/kernel.h"

namespace millrace::test {

class FakeKernel final : public host::Kernel {
 public:
  struct Socket {
    host::Place place = {};     // that it listens at, or is connected to; of an accepted one: nothing
    std::string incoming = {};  // to be read
    bool peer_ended = false;    // behind it
    int read_error = 0;         // behind it
    std::string written = {};
    std::size_t room = 1'000'000;  // for what is written
    int write_error = 0;
    int pending_error = 0;
    bool shut = false;
    bool closed = false;
    bool closed_abruptly = false;
    void* of = nullptr;  // null: not watched
    Ready news = {};     // since the last wait()
  };

  Socket& operator[](int socket) { return sockets_[socket]; }
  [[nodiscard]] int last() const { return static_cast<int>(sockets_.size()) - 1; }
  /// The one that listens there; -1: none.
  [[nodiscard]] int listener_at(const SocketAddress& address) const {
    const auto at = std::ranges::find_if(
        sockets_, [&](const auto& socket) { return socket.second.place.address == address && !socket.second.closed; });
    return at == sockets_.end() ? -1 : at->first;
  }
  [[nodiscard]] std::size_t waits() const { return waits_; }
  [[nodiscard]] std::size_t accepts() const { return accepts_; }

  /// The next calls of that kind fail.
  int next_connect_error = 0;
  int next_listen_error = 0;
  int next_accept_error = 0;
  std::size_t waiting_connections = 0;  // to be accepted

  void arrive(int socket, std::string_view bytes) {
    sockets_[socket].incoming += bytes;
    sockets_[socket].news.readable = true;
  }
  void end(int socket) {
    sockets_[socket].peer_ended = true;
    sockets_[socket].news.readable = sockets_[socket].news.ended = true;
  }
  void reset(int socket) {
    sockets_[socket].pending_error = ECONNRESET;
    sockets_[socket].news.ended = sockets_[socket].news.broken = true;
  }
  void make_room(int socket, std::size_t bytes) {
    sockets_[socket].room += bytes;
    sockets_[socket].news.writable = true;
  }
  void connected(int socket, int error = 0) {
    sockets_[socket].pending_error = error;
    sockets_[socket].news.writable = true;
  }

  [[nodiscard]] Result<int, int> connect(const host::Place& peer) override {
    if (next_connect_error != 0) return Error<int>(next_connect_error);
    return make(peer);
  }
  [[nodiscard]] int pending_error(int socket) override { return std::exchange(sockets_[socket].pending_error, 0); }
  [[nodiscard]] SocketAddress local_address(int socket) override {
    return {IpAddress::v4(127, 0, 0, 1), static_cast<std::uint16_t>(40'000 + socket)};
  }
  [[nodiscard]] Result<int, int> listen(const host::Place& place) override {
    if (next_listen_error != 0) return Error<int>(next_listen_error);
    return make(place);
  }
  void close_listener(int socket, const host::Place&) override { sockets_[socket].closed = true; }
  [[nodiscard]] Result<Accepted, int> accept(int) override {
    ++accepts_;
    if (waiting_connections == 0) return Error<int>(EAGAIN);
    if (next_accept_error != 0) return Error<int>(next_accept_error);
    --waiting_connections;
    return Accepted{make({}), {IpAddress::v4(127, 0, 0, 1), 50'000}};
  }
  [[nodiscard]] Result<std::size_t, int> read(int socket, std::span<const iovec> into) override {
    Socket& from = sockets_[socket];
    std::size_t size = 0;
    for (const iovec& place : into) {
      const std::size_t part = std::min(place.iov_len, from.incoming.size() - size);
      std::memcpy(place.iov_base, from.incoming.data() + size, part);
      size += part;
    }
    from.incoming.erase(0, size);
    if (size > 0 || from.peer_ended) return size;
    return Error<int>(from.read_error != 0 ? from.read_error : EAGAIN);
  }
  [[nodiscard]] Result<std::size_t, int> write(int socket, std::span<const iovec> from) override {
    Socket& to = sockets_[socket];
    if (to.write_error != 0) return Error<int>(to.write_error);
    std::size_t size = 0;
    for (const iovec& place : from) {
      const std::size_t part = std::min(place.iov_len, to.room);
      to.written.append(static_cast<const char*>(place.iov_base), part);
      to.room -= part;
      size += part;
    }
    return size > 0 ? Result<std::size_t, int>(size) : Error<int>(EAGAIN);
  }
  void shutdown_write(int socket) override { sockets_[socket].shut = true; }
  void close(int socket, bool abruptly) override {
    EXPECT_FALSE(sockets_[socket].closed) << "closed twice";
    sockets_[socket].closed = true;
    sockets_[socket].closed_abruptly = abruptly;
    sockets_[socket].of = nullptr;
  }
  [[nodiscard]] bool watch(int socket, void* of) override {
    sockets_[socket].of = of;
    return true;
  }
  [[nodiscard]] bool watch_listener(int listener, void* of) override {
    listener_ = listener;
    return watch(listener, of);
  }
  void unwatch(int socket) override { sockets_[socket].of = nullptr; }
  std::size_t wait(std::span<Ready> out) override {
    ++waits_;
    std::size_t count = 0;
    for (auto& [number, socket] : sockets_) {
      if (number == listener_) socket.news.readable = waiting_connections > 0;
      const bool any = socket.news.readable || socket.news.writable || socket.news.ended;
      if (socket.of == nullptr || !any || count == out.size()) continue;
      out[count++] = socket.news;
      out[count - 1].of = socket.of;
      socket.news = {};
    }
    return count;
  }
  [[nodiscard]] int descriptor() const override { return -1; }

 private:
  int make(const host::Place& place) {
    const int number = static_cast<int>(sockets_.size());
    sockets_[number].place = place;
    return number;
  }

  std::map<int, Socket> sockets_;
  int listener_ = -1;
  std::size_t waits_ = 0;
  std::size_t accepts_ = 0;
};

}  // namespace millrace::test
