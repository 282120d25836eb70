// The kernel as one worker meets it: sockets and an epoll descriptor.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "dataplane/host/kernel.h"
#include "dataplane/host/listen_sockets.h"

namespace millrace::host {

class LinuxKernel final : public Kernel {
 public:
  /// `sockets` is shared by all workers and outlives them.
  explicit LinuxKernel(ListenSockets& sockets);
  ~LinuxKernel() override;
  LinuxKernel(const LinuxKernel&) = delete;
  LinuxKernel& operator=(const LinuxKernel&) = delete;

  [[nodiscard]] Result<int, int> connect(const Place& peer) override;
  [[nodiscard]] int pending_error(int socket) override;
  [[nodiscard]] SocketAddress local_address(int socket) override;
  [[nodiscard]] Result<int, int> listen(const Place& place) override;
  void close_listener(int socket, const Place& place) override;
  [[nodiscard]] Result<Accepted, int> accept(int listener) override;
  [[nodiscard]] Result<std::size_t, int> read(int socket, std::span<const iovec> into) override;
  [[nodiscard]] Result<std::size_t, int> write(int socket, std::span<const iovec> from) override;
  void shutdown_write(int socket) override;
  void close(int socket, bool abruptly) override;
  [[nodiscard]] bool watch(int socket, void* of) override;
  [[nodiscard]] bool watch_listener(int listener, void* of) override;
  void unwatch(int socket) override;
  std::size_t wait(std::span<Ready> out) override;
  [[nodiscard]] int descriptor() const override { return epoll_; }

 private:
  ListenSockets& sockets_;
  int epoll_;
};

}  // namespace millrace::host
