// The engines that need no device keep the contract of all.
#include "tests/unit/tls/record_engine_suite.h"
#include "tls/engines/ipsec_mb_engine.h"

namespace millrace::tls::test {
namespace {

INSTANTIATE_TEST_SUITE_P(All, TlsRecordEngine,
                         testing::Combine(testing::Values(EngineMaker{"ipsec-mb", make_ipsec_mb_engine},
                                                          EngineMaker{"openssl", make_openssl_engine}),
                                          testing::ValuesIn(kAeads)),
                         case_name);

}  // namespace
}  // namespace millrace::tls::test
