// The listeners of one worker, kept as the snapshot says: of TCP for the addresses of ports, of the host for loopback addresses
// and Unix sockets. One of 0.0.0.0 or :: is both: on all ports, and at 127.0.0.1 or ::1.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "config/model/snapshot.h"
#include "dataplane/base/time.h"
#include "dataplane/host/transport.h"
#include "dataplane/proxy/proxy.h"
#include "dataplane/tcp/stack.h"
#include "dataplane/worker/transports.h"

namespace millrace::worker {

class ListenerSet {
 public:
  ListenerSet(Transports& transports, proxy::Proxy& proxy) : transports_(transports), proxy_(proxy) {}

  /// Opens what is new, closes what is gone, leaves alone what has not changed. An address that cannot be opened is counted in
  /// failed() and stays closed; not so the host's half of a listener for all addresses, whose failure the kernel's side tells.
  /// Connections that were accepted go on.
  void follow(const config::Snapshot& snapshot, Instant now);

  /// Off: new handshakes are ignored, but for listeners that bypass the overload manager; those that are opened later, too.
  void set_accepting(bool accepting, Instant now);

  /// New connections are refused from here on.
  void close_all(Instant now);

  [[nodiscard]] const std::uint64_t& failed() const { return failed_; }
  [[nodiscard]] std::size_t size() const { return open_.size(); }

 private:
  struct Wanted;
  struct Open {
    SocketAddress address;
    std::string name;
    std::variant<tcp::Listener*, host::Listener*> listener;
    bool bypasses_overload = false;
  };

  [[nodiscard]] static std::vector<Wanted> wanted_by(const config::Snapshot& snapshot);
  void open(const Wanted& wanted, Instant now);
  void close(const Open& open, Instant now);

  Transports& transports_;
  proxy::Proxy& proxy_;
  std::vector<Open> open_;
  std::uint64_t failed_ = 0;
  bool accepting_ = true;
};

}  // namespace millrace::worker
