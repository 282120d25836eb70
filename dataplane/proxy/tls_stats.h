// What is counted of TLS sessions per listener and per cluster. Envoy: the ssl.* statistics.
#pragma once

#include "dataplane/report/cells.h"
#include "tls/handshake.h"

namespace millrace::proxy {

void count_tls_session(const tls::SessionFacts& session, report::TlsStats& stats);
void count_tls_failure(const tls::HandshakeFailure& failure, report::TlsStats& stats);

}  // namespace millrace::proxy
