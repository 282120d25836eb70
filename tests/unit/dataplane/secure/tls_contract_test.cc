// A TLS stream is a byte stream: it keeps the contract that users are tested against, whatever version and whoever has the
// records.
#include "tests/support/test_certificates.h"
#include "tests/support/tls_pipe.h"
#include "tests/unit/dataplane/stream/byte_stream_contract.h"

namespace millrace::test {
namespace {

template <tls::Version version, bool library>
class TlsHarness {
 public:
  stream::ChainPool& chains() { return pipe_.chains; }
  stream::Connector& connector() { return pipe_; }
  SocketAddress address() const { return {IpAddress::v4(192, 0, 2, 80), 443}; }
  SocketAddress refusing_address() const { return {IpAddress::v4(192, 0, 2, 80), 81}; }
  bool listen(stream::Acceptor& acceptor) {
    pipe_.listen(address(), acceptor);
    return true;
  }
  Instant now() const { return pipe_.now; }
  void run(Duration time = Duration::seconds(1)) { pipe_.run(time); }
  std::size_t open_ends() const { return pipe_.open_ends(); }

 private:
  static std::shared_ptr<const tls::Context> context(tls::Role role) {
    tls::ContextConfig config;
    config.role = role;
    config.least_version = config.most_version = version;
    config.keep_records_in_openssl = library;
    if (role == tls::Role::kServer) {
      const Issued leaf = Authority("contract").issue();
      config.certificates.push_back({.chain = leaf.certificate, .key = leaf.key, .password = {}, .ocsp_response = {}});
    }
    return *tls::Context::make(config);
  }
  TlsPipe pipe_{context(tls::Role::kServer), context(tls::Role::kClient)};
};

using Tls13 = TlsHarness<tls::Version::kTls13, false>;
using Tls12 = TlsHarness<tls::Version::kTls12, false>;
using Tls13InOpenssl = TlsHarness<tls::Version::kTls13, true>;
INSTANTIATE_TYPED_TEST_SUITE_P(SecureTls13, ByteStreamContract, Tls13);
INSTANTIATE_TYPED_TEST_SUITE_P(SecureTls12, ByteStreamContract, Tls12);
INSTANTIATE_TYPED_TEST_SUITE_P(SecureTls13InOpenssl, ByteStreamContract, Tls13InOpenssl);

}  // namespace
}  // namespace millrace::test
