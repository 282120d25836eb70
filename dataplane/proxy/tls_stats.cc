#include "dataplane/proxy/tls_stats.h"

namespace millrace::proxy {

void count_tls_session(const tls::SessionFacts& session, report::TlsStats& stats) {
  stats.handshake.add();
  if (session.resumed) stats.session_reused.add();
  if (!session.peer) stats.no_certificate.add();
}

void count_tls_failure(const tls::HandshakeFailure& failure, report::TlsStats& stats) {
  using Reason = tls::HandshakeFailure::Reason;
  switch (failure.reason) {
    case Reason::kNoCertificate: return stats.fail_verify_no_cert.add();
    case Reason::kUntrusted: return stats.fail_verify_error.add();
    case Reason::kWrongName: return stats.fail_verify_san.add();
    case Reason::kWrongHash: return stats.fail_verify_cert_hash.add();
    case Reason::kProtocol:
    case Reason::kPeerAlert:
    case Reason::kTruncated:
    case Reason::kInternal: return stats.connection_error.add();
  }
}

}  // namespace millrace::proxy
