// The host's sockets on which workers listen: one for each place, of which every worker holds a descriptor of its own. Opened by
// the worker that asks first, closed with the last descriptor; connections that wait are accepted by whoever comes first.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/base/result.h"
#include "dataplane/host/kernel.h"

namespace millrace::host {

/// Any thread. Its lock is held for a few system calls, when listeners come and go.
class ListenSockets {
 public:
  ListenSockets() = default;
  ~ListenSockets();
  ListenSockets(const ListenSockets&) = delete;
  ListenSockets& operator=(const ListenSockets&) = delete;

  /// A place that could not be opened.
  struct Failure {
    std::string where;
    int error;     ///< errno
    bool is_half;  ///< Place::is_half
  };
  /// Those since the last call; one that goes on failing is told once.
  [[nodiscard]] std::vector<Failure> take_failures();

  /// A descriptor of the caller's; errno otherwise: EADDRINUSE when somebody else listens there. The file of a Unix socket where
  /// nobody listens any more is replaced.
  [[nodiscard]] Result<int, int> open(const Place& place);
  /// The caller has closed what open() gave it. With the last one the socket goes, and its file.
  void close(const Place& place);

 private:
  struct Socket {
    int descriptor = -1;
    std::size_t users = 0;
    std::string file = {};     // to be removed; empty: none
    std::uint64_t device = 0;  // of the file as we made it: another that has come to its place stays
    std::uint64_t inode = 0;
  };
  static void remove(Socket& socket);
  [[nodiscard]] Result<int, int> add_user(const Place& place);

  std::mutex mutex_;
  std::map<SocketAddress, Socket> sockets_;
  std::map<std::pair<SocketAddress, bool>, int> failing_;  // of each place, and of it as a half: the last error
  std::vector<Failure> failures_;
};

}  // namespace millrace::host
