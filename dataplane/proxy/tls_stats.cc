#include "dataplane/proxy/tls_stats.h"

namespace millrace::proxy {
namespace {

void count_staple(tls::Staple staple, report::TlsStats& stats) {
  if (staple != tls::Staple::kNotAsked) stats.ocsp_staple_requests.add();
  switch (staple) {
    case tls::Staple::kNotAsked: return;
    case tls::Staple::kOmitted: return stats.ocsp_staple_omitted.add();
    case tls::Staple::kAttached: return stats.ocsp_staple_responses.add();
    case tls::Staple::kRefused: return stats.ocsp_staple_failed.add();
  }
}

}  // namespace

void count_tls_session(const tls::SessionFacts& session, report::TlsStats& stats) {
  stats.handshake.add();
  if (session.resumed) stats.session_reused.add();
  if (!session.peer) stats.no_certificate.add();
  count_staple(session.staple, stats);
}

void count_tls_failure(const tls::HandshakeFailure& failure, report::TlsStats& stats) {
  using Reason = tls::HandshakeFailure::Reason;
  count_staple(failure.staple, stats);
  switch (failure.reason) {
    case Reason::kNoCertificate: return stats.fail_verify_no_cert.add();
    case Reason::kUntrusted: return stats.fail_verify_error.add();
    case Reason::kWrongName: return stats.fail_verify_san.add();
    case Reason::kWrongHash: return stats.fail_verify_cert_hash.add();
    case Reason::kProtocol:
    case Reason::kPeerAlert:
    case Reason::kNoStaple:  // counted twice, as in Envoy
    case Reason::kTruncated:
    case Reason::kInternal: return stats.connection_error.add();
  }
}

}  // namespace millrace::proxy
