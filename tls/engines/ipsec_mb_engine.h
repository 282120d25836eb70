// Intel's IPsec-MB: AES-GCM and ChaCha20-Poly1305 by its direct interface, which for these is faster than its jobs.
#pragma once

#include <memory>

#include "tls/record_engine.h"

namespace millrace::tls {

/// For one thread. Null: no memory, or a CPU without what the library needs (AES-NI, PCLMULQDQ, SSE4.2).
[[nodiscard]] std::unique_ptr<RecordEngine> make_ipsec_mb_engine();

}  // namespace millrace::tls
