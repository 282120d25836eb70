// A local address on which connections are accepted, and the handshakes that it waits for, bounded by its backlog.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/stream/byte_stream.h"
#include "dataplane/tcp/flow.h"
#include "dataplane/tcp/half_open.h"

namespace millrace::tcp {

class Listener;
class Stack;

/// A half-open connection in the stack's tables.
struct HalfOpenEntry : FlowEntry, ListNode<> {
  HalfOpenEntry(Stack& owner, Listener& of, const FlowKey& flow, const LocalTerms& local, const Segment& syn,
                nic::TxOffloads tx_offloads);
  void on_timeout(Instant now);

  HalfOpen state;
  Stack& stack;
  Listener& listener;
  Timer timer;
  nic::TxOffloads tx;
};

class Listener {
 public:
  Listener(const SocketAddress& address, stream::Acceptor& acceptor) : address_(address), acceptor_(&acceptor) {}

  [[nodiscard]] const SocketAddress& address() const { return address_; }
  [[nodiscard]] std::size_t half_open() const { return half_open_; }
  /// Off: new handshakes are ignored, so that peers try again for a while; those that have begun go on. On at first.
  void set_accepting(bool accepting) { accepting_ = accepting; }

 private:
  friend class Stack;

  /// 0: no; 1: by 0.0.0.0 or ::; 2: exactly. An IPv6 wildcard takes no IPv4.
  [[nodiscard]] int match(const FlowKey& flow) const {
    if (flow.local_port != address_.port) return 0;
    if (flow.local_ip == address_.ip) return 2;
    return address_.ip.is_unspecified() && flow.local_ip.is_v4() == address_.ip.is_v4() ? 1 : 0;
  }

  SocketAddress address_;
  stream::Acceptor* acceptor_;
  std::size_t half_open_ = 0;
  bool accepting_ = true;
  Instant cookies_until_;  // acknowledgements of cookies may come until then
  IntrusiveList<HalfOpenEntry> entries_;
};

}  // namespace millrace::tcp
