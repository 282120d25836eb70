// The test pipe keeps the contract that users are tested against.
#include "nic/heap_pool.h"
#include "tests/support/pipe_transport.h"
#include "tests/unit/dataplane/stream/byte_stream_contract.h"

namespace millrace::test {
namespace {

class PipeHarness {
 public:
  stream::ChainPool& chains() { return chains_; }
  stream::Connector& connector() { return net_; }
  SocketAddress address() const { return {IpAddress::v4(192, 0, 2, 80), 80}; }
  SocketAddress refusing_address() const { return {IpAddress::v4(192, 0, 2, 80), 81}; }
  bool listen(stream::Acceptor& acceptor) {
    net_.listen(address(), acceptor);
    return true;
  }
  Instant now() const { return now_; }
  void run(Duration time = Duration::seconds(1)) {
    net_.run(now_);
    now_ = now_ + time;
  }
  std::size_t open_ends() const { return net_.open_ends(); }

 private:
  nic::HeapPool packets_{20'000};
  stream::ChainPool chains_{packets_, 64, 100'000};
  PipeNetwork net_{chains_};
  Instant now_ = Instant::from_nanoseconds(1'000'000);
};

INSTANTIATE_TYPED_TEST_SUITE_P(Pipe, ByteStreamContract, PipeHarness);

}  // namespace
}  // namespace millrace::test
