// TCP keeps the contract of byte_stream.h: two stacks on a simulated link.
#include "tests/support/tcp_link.h"
#include "tests/unit/dataplane/stream/byte_stream_contract.h"

namespace millrace::test {
namespace {

template <bool V6>
class TcpHarness {
 public:
  stream::ChainPool& chains() { return link_.chains; }
  stream::Connector& connector() { return link_.a.tcp; }
  SocketAddress address() const { return {link_.b.address(), 80}; }
  SocketAddress refusing_address() const { return {link_.b.address(), 81}; }
  bool listen(stream::Acceptor& acceptor) { return link_.b.tcp.listen(address(), acceptor).has_value(); }
  Instant now() const { return link_.now(); }
  void run(Duration time = Duration::seconds(1)) { link_.run(time); }
  std::size_t open_ends() const { return link_.a.tcp.connections() + link_.b.tcp.connections(); }

 private:
  TcpLink link_{1, small_stack(), V6};
};

INSTANTIATE_TYPED_TEST_SUITE_P(TcpV4, ByteStreamContract, TcpHarness<false>);
INSTANTIATE_TYPED_TEST_SUITE_P(TcpV6, ByteStreamContract, TcpHarness<true>);

}  // namespace
}  // namespace millrace::test
