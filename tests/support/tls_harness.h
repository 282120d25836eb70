// TLS streams for the contract of byte streams (tests/unit/dataplane/stream/byte_stream_contract.h).
#pragma once

#include <memory>

#include "tests/support/test_certificates.h"
#include "tests/support/tls_pipe.h"

namespace millrace::test {

/// `library`: records stay with OpenSSL.
template <tls::Version version, bool library, std::unique_ptr<tls::RecordEngine> (*make_engine)() = tls::make_ipsec_mb_engine>
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
  TlsPipe pipe_{context(tls::Role::kServer), context(tls::Role::kClient), make_engine()};
};

}  // namespace millrace::test
