#include "dataplane/host/listen_sockets.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "dataplane/host/socket_name.h"

namespace millrace::host {
namespace {

constexpr int kBacklog = 1'024;  // the kernel has a bound of its own: net.core.somaxconn

bool is_file(const Place& place) { return !place.pipe.empty() && place.pipe.front() != '@'; }

// The file of a socket that nobody listens at: what a process leaves that did not end well.
bool is_abandoned(const Place& place) {
  struct stat status{};
  if (lstat(place.pipe.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const SocketName name = socket_name(place);
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const bool refused = ::connect(probe, name.get(), name.size) != 0 && errno == ECONNREFUSED;
  ::close(probe);
  return refused;
}

int bind_to(int socket, const Place& place) {
  const SocketName name = socket_name(place);
  if (::bind(socket, name.get(), name.size) == 0) return 0;
  if (errno != EADDRINUSE || !is_file(place)) return errno;
  if (!is_abandoned(place)) return EADDRINUSE;
  if (::unlink(place.pipe.c_str()) != 0) return errno;
  return ::bind(socket, name.get(), name.size) == 0 ? 0 : errno;
}

// 0, or errno. Nobody connects before listen(): the mode is right by then.
int start(int socket, const Place& place) {
  const int on = 1;
  if (place.pipe.empty()) ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (const int error = bind_to(socket, place)) return error;
  const bool moded = !is_file(place) || place.mode == 0 || ::chmod(place.pipe.c_str(), place.mode) == 0;
  if (moded && ::listen(socket, kBacklog) == 0) return 0;
  const int error = errno;
  if (is_file(place)) ::unlink(place.pipe.c_str());
  return error;
}

}  // namespace

ListenSockets::~ListenSockets() {
  for (auto& [address, socket] : sockets_) remove(socket);
}

void ListenSockets::remove(Socket& socket) {
  struct stat status{};
  const bool is_there = !socket.file.empty() && lstat(socket.file.c_str(), &status) == 0;
  if (is_there && status.st_dev == socket.device && status.st_ino == socket.inode) ::unlink(socket.file.c_str());
  ::close(socket.descriptor);
}

std::vector<ListenSockets::Failure> ListenSockets::take_failures() {
  const std::lock_guard lock(mutex_);
  return std::exchange(failures_, {});
}

Result<int, int> ListenSockets::open(const Place& place) {
  const std::lock_guard lock(mutex_);
  const Result<int, int> descriptor = add_user(place);
  if (descriptor) {
    failing_.erase({place.address, place.is_half});
  } else if (int& last = failing_[{place.address, place.is_half}]; last != descriptor.error()) {
    last = descriptor.error();
    failures_.push_back({place.pipe.empty() ? place.address.to_string() : place.pipe, last, place.is_half});
  }
  return descriptor;
}

Result<int, int> ListenSockets::add_user(const Place& place) {
  auto at = sockets_.find(place.address);
  if (at == sockets_.end()) {
    const int family = socket_name(place).family();
    const int socket = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (socket < 0) return Error<int>(errno);
    if (const int error = start(socket, place)) {
      ::close(socket);
      return Error<int>(error);
    }
    at = sockets_.emplace(place.address, Socket{.descriptor = socket}).first;
    struct stat status{};
    if (is_file(place) && lstat(place.pipe.c_str(), &status) == 0) {
      at->second.file = place.pipe;
      at->second.device = status.st_dev;
      at->second.inode = status.st_ino;
    }
  }
  const int own = ::fcntl(at->second.descriptor, F_DUPFD_CLOEXEC, 0);
  if (own >= 0) {
    ++at->second.users;
    return own;
  }
  const int error = errno;
  if (at->second.users == 0) {
    remove(at->second);
    sockets_.erase(at);
  }
  return Error<int>(error);
}

void ListenSockets::close(const Place& place) {
  const std::lock_guard lock(mutex_);
  const auto at = sockets_.find(place.address);
  if (at == sockets_.end() || --at->second.users > 0) return;
  remove(at->second);
  sockets_.erase(at);
}

}  // namespace millrace::host
