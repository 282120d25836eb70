// The host's sockets keep the contract of byte_stream.h: two transports of the same kernel.
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/host/linux_kernel.h"
#include "dataplane/host/socket_name.h"
#include "dataplane/host/transport.h"
#include "nic/heap_pool.h"
#include "tests/unit/dataplane/stream/byte_stream_contract.h"

namespace millrace::test {
namespace {

// Ports that are free: one whose listener the kernel chose and that is let go of again.
SocketAddress free_address(bool v6) {
  host::SocketName name = host::socket_name({.address = *SocketAddress::parse(v6 ? "[::1]:0" : "127.0.0.1:0")});
  const int socket = ::socket(name.family(), SOCK_STREAM, 0);
  EXPECT_EQ(::bind(socket, name.get(), name.size), 0);
  EXPECT_EQ(::getsockname(socket, name.get(), &name.size), 0);
  ::close(socket);
  return host::to_address(name);
}

template <bool V6>
class HostHarness {
 public:
  stream::ChainPool& chains() { return chains_; }
  stream::Connector& connector() { return client_; }
  SocketAddress address() const { return address_; }
  SocketAddress refusing_address() const { return refusing_; }
  bool listen(stream::Acceptor& acceptor) { return server_.listen({.address = address_}, acceptor, now_).has_value(); }
  Instant now() const { return now_; }
  // As long as anything moves; then time passes at once.
  void run(Duration time = Duration::seconds(1)) {
    const Instant end = now_ + time;
    for (int quiet = 0; quiet < 3;) {
      const bool any = turn();
      quiet = any ? 0 : quiet + 1;
      if (!any) usleep(100);
    }
    now_ = end;
    timers_.advance(now_);
    turn();
  }
  std::size_t open_ends() const { return client_.streams() + server_.streams(); }

 private:
  bool turn() {
    now_ = now_ + host::Transport::kAskInterval;
    bool any = false;
    for (host::Transport* side : {&client_, &server_}) {
      any |= side->receive(now_);
      side->deliver_events(now_);
      side->flush(now_);
      any |= side->has_work();
    }
    return any;
  }

  nic::HeapPool packets_{65'536};
  stream::ChainPool chains_{packets_, 1'024, 262'144};
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
  TimerWheel timers_{now_};
  host::ListenSockets sockets_;
  host::LinuxKernel client_kernel_{sockets_};
  host::LinuxKernel server_kernel_{sockets_};
  host::Transport client_{client_kernel_, timers_, chains_};
  host::Transport server_{server_kernel_, timers_, chains_};
  SocketAddress address_ = free_address(V6);
  SocketAddress refusing_ = free_address(V6);
};

INSTANTIATE_TYPED_TEST_SUITE_P(HostV4, ByteStreamContract, HostHarness<false>);
INSTANTIATE_TYPED_TEST_SUITE_P(HostV6, ByteStreamContract, HostHarness<true>);

}  // namespace
}  // namespace millrace::test
