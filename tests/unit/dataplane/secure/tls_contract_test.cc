// A TLS stream is a byte stream: it keeps the contract that users are tested against, whatever version and whoever has the
// records.
#include "tests/support/tls_harness.h"
#include "tests/unit/dataplane/stream/byte_stream_contract.h"

namespace millrace::test {
namespace {

using Tls13 = TlsHarness<tls::Version::kTls13, false>;
using Tls12 = TlsHarness<tls::Version::kTls12, false>;
using Tls13InOpenssl = TlsHarness<tls::Version::kTls13, true>;
INSTANTIATE_TYPED_TEST_SUITE_P(SecureTls13, ByteStreamContract, Tls13);
INSTANTIATE_TYPED_TEST_SUITE_P(SecureTls12, ByteStreamContract, Tls12);
INSTANTIATE_TYPED_TEST_SUITE_P(SecureTls13InOpenssl, ByteStreamContract, Tls13InOpenssl);

}  // namespace
}  // namespace millrace::test
