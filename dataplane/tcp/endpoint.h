// A connection as its user sees it: byte_stream.h over a Connection, with the connection's timer and its places in the stack's
// lists.
#pragma once

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/stream/byte_stream.h"
#include "dataplane/tcp/connection.h"
#include "dataplane/tcp/flow.h"

namespace millrace::tcp {

class Stack;

struct DirtyTag;   // to be transmitted by the next flush()
struct EventTag;   // its user may have to be told something
struct MemberTag;  // all endpoints

class Endpoint final : public FlowEntry,
                       public stream::ByteStream,
                       public ListNode<DirtyTag>,
                       public ListNode<EventTag>,
                       public ListNode<MemberTag> {
 public:
  Endpoint(Stack& stack, Shared& shared, const FlowKey& flow, nic::TxOffloads tx_offloads);

  void set_events(stream::ByteStreamEvents& events) override { user_ = &events; }
  [[nodiscard]] std::size_t readable() const override { return connection_.readable(); }
  std::size_t read(stream::Chain& to, std::size_t limit, Instant now) override;
  [[nodiscard]] bool read_ended() const override { return connection_.read_ended(); }
  [[nodiscard]] std::size_t write_credit() const override { return connection_.write_credit(); }
  std::size_t write(stream::Chain& from, Instant now) override;
  void shutdown_write(Instant now) override;
  void close(Instant now) override;
  void reset(Instant now) override;
  void set_keep_alive(const KeepAlive& keep_alive, Instant now) override;
  [[nodiscard]] SocketAddress local_address() const override { return {key.local_ip, key.local_port}; }
  [[nodiscard]] SocketAddress peer_address() const override { return {key.peer_ip, key.peer_port}; }

  [[nodiscard]] const Connection& connection() const { return connection_; }

 private:
  friend class Stack;
  void on_timer(Instant now);
  /// Tells the user what happened. It may close or reset in any of these calls.
  void deliver(Instant now);

  Stack& stack_;
  stream::ByteStreamEvents* user_ = nullptr;  // null: closed, reset, or told of the end
  Connection connection_;
  Timer timer_;
  std::size_t counted_bytes_ = 0;  // what the stack's gauges hold of it
  State counted_state_ = State::kClosed;
  nic::TxOffloads tx_;
};

}  // namespace millrace::tcp
