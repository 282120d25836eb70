// What one worker has of a crypto device: a queue pair, and the memory of its operations, their texts and its sessions. The
// device makes it (crypto_device.h), one engine at a time works with it (crypto_engine.h). For the sources of nic/ only:
// everybody else sees no rte type.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <rte_crypto.h>
#include <rte_mempool.h>

#include "dataplane/base/result.h"
#include "tls/cipher_suite.h"
#include "tls/record.h"

namespace millrace::nic {

struct FreeMempool {
  void operator()(rte_mempool* pool) const { rte_mempool_free(pool); }
};
using Mempool = std::unique_ptr<rte_mempool, FreeMempool>;

/// Stands behind each operation: what the device reads and writes beside the text.
struct OperationData {
  std::array<std::uint8_t, 16> nonce;  ///< of which kNonceBytes count
  std::array<std::uint8_t, 16> additional;
  std::array<std::uint8_t, tls::kTagBytes> tag;
  std::uint32_t slot;  ///< of the engine's that uses the operation
};
inline constexpr std::uint16_t kOperationDataOffset = (sizeof(rte_crypto_op) + sizeof(rte_crypto_sym_op) + 15) / 16 * 16;
inline constexpr std::uint16_t kNonceOffset = kOperationDataOffset + offsetof(OperationData, nonce);

[[nodiscard]] constexpr rte_crypto_aead_algorithm algorithm_of(tls::Aead aead) {
  return aead == tls::Aead::kChaCha20Poly1305 ? RTE_CRYPTO_AEAD_CHACHA20_POLY1305 : RTE_CRYPTO_AEAD_AES_GCM;
}

/// Written by the engine's thread, read by any.
struct alignas(64) CryptoTally {
  std::atomic<std::uint64_t> records{0};
  std::atomic<std::uint64_t> copied{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> software_keys{0};
  std::atomic<std::uint64_t> keys{0};
};

struct CryptoQueue {
  static constexpr std::size_t kMostJobs = 256;  ///< under way, a power of two
  /// Parts of a text that the device is given where they lie. It does not tell how many it takes; QAT takes 16.
  static constexpr std::size_t kMostParts = 16;
  static constexpr std::size_t kMostTextBytes = tls::kMostPlaintextBytes + 1;  ///< with the type that TLS 1.3 hides behind it
  static constexpr std::uint32_t kDescriptors = 512;                           ///< of the queue pair

  /// How the device wants its texts.
  struct Layout {
    bool in_place = true;    ///< where they lie; else always in a buffer of its own
    bool in_parts = true;    ///< in several, in place
    bool any_memory = true;  ///< the driver computes on the CPU that calls it; else only what DPDK has mapped for it
    std::uint16_t headroom = 0;
    std::uint16_t tailroom = 0;  ///< of a buffer of its own
  };

  /// `name`: of its pools, unique in the process, at most 16 bytes. `sessions`: keys that the device holds. The error says what
  /// could not be made.
  [[nodiscard]] static Result<std::unique_ptr<CryptoQueue>, std::string> create(const std::string& name, std::uint8_t device,
                                                                                std::uint16_t pair, const Layout& layout,
                                                                                std::size_t sessions, int numa_node);
  /// Bytes that such a queue takes, about.
  [[nodiscard]] static std::size_t memory_bytes(std::size_t sessions);
  /// Where the device finds these bytes; RTE_BAD_IOVA: nowhere in one piece.
  [[nodiscard]] rte_iova_t iova_of(std::span<const std::uint8_t> bytes) const;

  std::uint8_t device = 0;
  std::uint16_t pair = 0;
  Layout layout;
  std::array<bool, tls::kAeads.size()> offers{};  ///< by Aead
  Mempool sessions;
  Mempool operations;
  Mempool segments;  ///< mbufs without a buffer: each is pointed at a part of a text
  Mempool copies;    ///< mbufs with room for a whole text
  CryptoTally tally;
};

}  // namespace millrace::nic
