// What the host transport asks of the operating system: non-blocking stream sockets and their readiness. An interface, so that
// streams and listeners are tested without a kernel; linux_kernel.h is the real one.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "dataplane/base/addresses.h"
#include "dataplane/base/result.h"

namespace millrace::host {

/// Where to listen, or whom to connect to.
struct Place {
  SocketAddress address;   ///< of a Unix socket: SocketAddress::of_pipe()
  std::string pipe = {};   ///< the path of a Unix socket, "@name" for an abstract one; empty: an IP address
  std::uint32_t mode = 0;  ///< permission bits of a Unix socket that is listened at; 0: as the process makes files
  bool is_half = false;    ///< the host's half of a listener for all addresses: it does without, if need be
};

/// One worker's way to the kernel. Errors are errno.
class Kernel {
 public:
  /// What a socket is ready for, since it was last told.
  struct Ready {
    void* of;  ///< as given to watch()
    bool readable;
    bool writable;
    bool ended;   ///< the peer has ended its side, or the connection is broken
    bool broken;  ///< pending_error() says why
  };
  struct Accepted {
    int socket;
    SocketAddress peer;
  };

  virtual ~Kernel() = default;

  /// Begins to connect; when that has come to an end the socket is writable, and pending_error() says how.
  [[nodiscard]] virtual Result<int, int> connect(const Place& peer) = 0;
  /// What has happened to it that no call has told yet; 0: nothing.
  [[nodiscard]] virtual int pending_error(int socket) = 0;
  [[nodiscard]] virtual SocketAddress local_address(int socket) = 0;

  /// A descriptor of this worker's own, of the socket that all workers share.
  [[nodiscard]] virtual Result<int, int> listen(const Place& place) = 0;
  virtual void close_listener(int socket, const Place& place) = 0;
  [[nodiscard]] virtual Result<Accepted, int> accept(int listener) = 0;

  /// 0 bytes: the peer has ended its side. EAGAIN: nothing is there; readiness follows.
  [[nodiscard]] virtual Result<std::size_t, int> read(int socket, std::span<const iovec> into) = 0;
  /// EAGAIN, or less than there was: there is no room; readiness follows.
  [[nodiscard]] virtual Result<std::size_t, int> write(int socket, std::span<const iovec> from) = 0;
  virtual void shutdown_write(int socket) = 0;
  /// Abruptly: what is queued is lost, and the peer of a TCP connection gets a RST.
  virtual void close(int socket, bool abruptly) = 0;

  /// wait() tells of it from now on, until it is closed: each time that something has changed. False: out of memory.
  [[nodiscard]] virtual bool watch(int socket, void* of) = 0;
  /// wait() tells of it as long as connections wait, and wakes one of the workers that sleep.
  [[nodiscard]] virtual bool watch_listener(int listener, void* of) = 0;
  virtual void unwatch(int socket) = 0;
  /// Never blocks. Returns how many there are.
  virtual std::size_t wait(std::span<Ready> out) = 0;
  /// Readable when wait() has something to tell; -1: nothing to sleep on.
  [[nodiscard]] virtual int descriptor() const = 0;
};

}  // namespace millrace::host
