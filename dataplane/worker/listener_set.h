// The TCP listeners of one worker, kept as the snapshot says.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/model/snapshot.h"
#include "dataplane/base/time.h"
#include "dataplane/proxy/proxy.h"
#include "dataplane/tcp/stack.h"

namespace millrace::worker {

class ListenerSet {
 public:
  ListenerSet(tcp::Stack& tcp, proxy::Proxy& proxy) : tcp_(tcp), proxy_(proxy) {}

  /// Opens what is new, closes what is gone, leaves alone what has not changed. An address that cannot be opened is counted in
  /// failed() and stays closed. Connections that were accepted go on.
  void follow(const config::Snapshot& snapshot, Instant now);

  /// Off: new handshakes are ignored, but for listeners that bypass the overload manager; those that are opened later, too.
  void set_accepting(bool accepting);

  /// New connections are refused from here on.
  void close_all(Instant now);

  [[nodiscard]] const std::uint64_t& failed() const { return failed_; }
  [[nodiscard]] std::size_t size() const { return open_.size(); }

 private:
  struct Open {
    SocketAddress address;
    std::string name;
    tcp::Listener* listener = nullptr;
    bool bypasses_overload = false;
  };

  tcp::Stack& tcp_;
  proxy::Proxy& proxy_;
  std::vector<Open> open_;
  std::uint64_t failed_ = 0;
  bool accepting_ = true;
};

}  // namespace millrace::worker
