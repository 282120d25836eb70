// Records sealed and opened by a crypto device. Jobs go to it in bursts and come back when it has done them. What it lacks, and
// keys that it has no room for, are the business of an engine in software behind it.
#pragma once

#include <memory>

#include "tls/record_engine.h"

namespace millrace::nic {

struct CryptoQueue;

/// For one thread; the only engine of `queue`, which outlives it. `software` works at once.
[[nodiscard]] std::unique_ptr<tls::RecordEngine> make_crypto_engine(CryptoQueue& queue,
                                                                    std::unique_ptr<tls::RecordEngine> software);

}  // namespace millrace::nic
