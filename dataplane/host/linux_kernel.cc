#include "dataplane/host/linux_kernel.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "dataplane/host/socket_name.h"

namespace millrace::host {
namespace {

constexpr std::size_t kMostEvents = 64;  // of one wait()

// What the kernel may keep of ours beyond what the peer takes: more would hide from us that the peer is slow.
constexpr int kUnsentBytes = 128 * 1024;

template <typename T>
Result<T, int> checked(auto result) {
  if (result >= 0) return static_cast<T>(result);
  return Error<int>(errno);
}

void set_up_tcp(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentBytes, sizeof(kUnsentBytes));
}

}  // namespace

LinuxKernel::LinuxKernel(ListenSockets& sockets) : sockets_(sockets), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

LinuxKernel::~LinuxKernel() {
  if (epoll_ >= 0) ::close(epoll_);
}

Result<int, int> LinuxKernel::connect(const Place& peer) {
  const SocketName name = socket_name(peer);
  const int socket = ::socket(name.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) return Error<int>(errno);
  if (name.family() != AF_UNIX) set_up_tcp(socket);
  if (::connect(socket, name.get(), name.size) == 0 || errno == EINPROGRESS) return socket;
  const int error = errno;
  ::close(socket);
  return Error<int>(error);
}

int LinuxKernel::pending_error(int socket) {
  int error = 0;
  socklen_t size = sizeof(error);
  return ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

SocketAddress LinuxKernel::local_address(int socket) {
  SocketName name;
  if (::getsockname(socket, name.get(), &name.size) != 0) return {};
  return to_address(name);
}

Result<int, int> LinuxKernel::listen(const Place& place) { return sockets_.open(place); }

void LinuxKernel::close_listener(int socket, const Place& place) {
  ::close(socket);
  sockets_.close(place);
}

Result<Kernel::Accepted, int> LinuxKernel::accept(int listener) {
  SocketName name;
  const int socket = ::accept4(listener, name.get(), &name.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (socket < 0) return Error<int>(errno);
  if (name.family() != AF_UNIX) set_up_tcp(socket);
  return Accepted{socket, to_address(name)};
}

Result<std::size_t, int> LinuxKernel::read(int socket, std::span<const iovec> into) {
  return checked<std::size_t>(::readv(socket, into.data(), static_cast<int>(into.size())));
}

// Not writev(): that raises SIGPIPE when the peer is gone.
Result<std::size_t, int> LinuxKernel::write(int socket, std::span<const iovec> from) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(from.data());
  message.msg_iovlen = from.size();
  return checked<std::size_t>(::sendmsg(socket, &message, MSG_NOSIGNAL));
}

void LinuxKernel::shutdown_write(int socket) { ::shutdown(socket, SHUT_WR); }

void LinuxKernel::close(int socket, bool abruptly) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  if (abruptly) ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  ::close(socket);
}

bool LinuxKernel::watch(int socket, void* of) {
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = of}};
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event) == 0;
}

bool LinuxKernel::watch_listener(int listener, void* of) {
  epoll_event event{.events = EPOLLIN | EPOLLEXCLUSIVE, .data = {.ptr = of}};
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, listener, &event) == 0;
}

void LinuxKernel::unwatch(int socket) { ::epoll_ctl(epoll_, EPOLL_CTL_DEL, socket, nullptr); }

std::size_t LinuxKernel::wait(std::span<Ready> out) {
  std::array<epoll_event, kMostEvents> events;
  const int most = static_cast<int>(std::min(out.size(), events.size()));
  const int count = ::epoll_wait(epoll_, events.data(), most, 0);
  for (int i = 0; i < count; ++i) {
    const std::uint32_t bits = events[static_cast<std::size_t>(i)].events;
    out[static_cast<std::size_t>(i)] = {.of = events[static_cast<std::size_t>(i)].data.ptr,
                                        .readable = (bits & EPOLLIN) != 0,
                                        .writable = (bits & EPOLLOUT) != 0,
                                        .ended = (bits & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0,
                                        .broken = (bits & EPOLLERR) != 0};
  }
  return static_cast<std::size_t>(std::max(count, 0));
}

}  // namespace millrace::host
