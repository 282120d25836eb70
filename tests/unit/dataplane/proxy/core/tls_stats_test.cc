#include "dataplane/proxy/tls_stats.h"

#include <gtest/gtest.h>

namespace millrace::proxy::test {
namespace {

using tls::Staple;

TEST(TlsStats, CountStaplesOfSessions) {
  report::TlsStats stats;
  for (const Staple staple : {Staple::kNotAsked, Staple::kAttached, Staple::kAttached, Staple::kOmitted}) {
    tls::SessionFacts session;
    session.staple = staple;
    count_tls_session(session, stats);
  }
  EXPECT_EQ(stats.handshake.value(), 4u);
  EXPECT_EQ(stats.ocsp_staple_requests.value(), 3u);
  EXPECT_EQ(stats.ocsp_staple_responses.value(), 2u);
  EXPECT_EQ(stats.ocsp_staple_omitted.value(), 1u);
  EXPECT_EQ(stats.ocsp_staple_failed.value(), 0u);
}

TEST(TlsStats, CountARefusedStapleAsAFailureOfItsOwnAndAsAnError) {
  report::TlsStats stats;
  tls::HandshakeFailure failure;
  failure.reason = tls::HandshakeFailure::Reason::kNoStaple;
  failure.staple = Staple::kRefused;
  count_tls_failure(failure, stats);
  EXPECT_EQ(stats.ocsp_staple_requests.value(), 1u);
  EXPECT_EQ(stats.ocsp_staple_failed.value(), 1u);
  EXPECT_EQ(stats.connection_error.value(), 1u) << "as in Envoy";
}

TEST(TlsStats, CountTheStapleOfAHandshakeThatFailsForAnotherReason) {
  report::TlsStats stats;
  tls::HandshakeFailure failure;
  failure.reason = tls::HandshakeFailure::Reason::kNoCertificate;
  failure.staple = Staple::kAttached;
  count_tls_failure(failure, stats);
  EXPECT_EQ(stats.fail_verify_no_cert.value(), 1u);
  EXPECT_EQ(stats.ocsp_staple_responses.value(), 1u);
  EXPECT_EQ(stats.connection_error.value(), 0u);
}

}  // namespace
}  // namespace millrace::proxy::test
