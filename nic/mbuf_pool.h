// The PacketPool of the gateway: a DPDK mempool of mbufs, one per worker. Our Buffer stands in the private area of its mbuf, is
// filled once when the pool is made, and shares the mbuf's life:
//
//   | rte_mbuf, 128 bytes | Buffer, 64 bytes | headroom | bytes ... |
//                                             ^ storage = mbuf->buf_addr, capacity = mbuf->buf_len
//
// A buffer that no Packet or Slice holds (in the pool, or in a device's ring) keeps a reference count of one, so that receiving
// and transmitting never touch the Buffer's cache line. AddressSanitizer sees nothing in here: tests use nic/heap_pool.h.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "dataplane/base/result.h"
#include "nic/packet.h"

struct rte_mbuf;
struct rte_mempool;

namespace millrace::nic {

struct MbufPoolOptions {
  std::string name;                                       ///< unique in the process, at most 20 bytes: "w0"
  std::size_t buffers = 16'384;                           ///< memory: about 2.4 KB each
  std::size_t buffer_bytes = limits::kPacketBufferBytes;  ///< headroom included; at most 65,535
  int numa_node = -1;                                     ///< of the workers' cores; -1: any
  bool shared = false;                                    ///< by several threads
  bool physical =
      false;  ///< a device reads it by physical pages, which no buffer may cross: PCI. Costs memory without huge pages
};

/// Used by one thread at a time (made by one, handed to its worker, returned to the first when the worker has ended), or
/// `shared`: then each EalThread has a cache of its own in front of it, and a packet goes back by the thread that holds it last.
/// Outlives the ports that receive into it and all its packets. Only packets of MbufPools can be given to an EthdevPort.
class MbufPool final : public PacketPool {
 public:
  /// Needs a running Eal. The error says how much memory was asked for and what to do.
  [[nodiscard]] static Result<std::unique_ptr<MbufPool>, std::string> create(const MbufPoolOptions& options);
  ~MbufPool() override;

  [[nodiscard]] std::size_t capacity() const override;
  [[nodiscard]] std::size_t in_use()
      const override;  ///< buffers in receive rings count as in use; walks caches: not for the fast path
  [[nodiscard]] std::size_t buffer_bytes() const override { return buffer_bytes_; }
  [[nodiscard]] rte_mempool* mempool() const { return mempool_; }  ///< for nic/ only
  /// For nic/ only: turns what is attached to a packet of an MbufPool into mbufs that refer to the parts' buffers, behind the
  /// packet's own mbuf; if the packet ends before the device takes it, they end with it. False, with nothing changed, when no
  /// more such mbufs are free now: devices hold them until they have sent.
  [[nodiscard]] static bool chain_attached(Packet& packet);

  /// Bytes of memory that such a pool takes, about.
  [[nodiscard]] static std::size_t memory_bytes(std::size_t buffers, std::size_t buffer_bytes = limits::kPacketBufferBytes);

 private:
  MbufPool(rte_mempool* mempool, rte_mempool* references, std::size_t buffer_bytes)
      : mempool_(mempool), references_(references), buffer_bytes_(buffer_bytes) {}
  Buffer* take() override;
  void give_back(Buffer& buffer) override;

  rte_mempool* mempool_;
  rte_mempool* references_;  // mbufs without a buffer of their own
  std::size_t buffer_bytes_;
};

}  // namespace millrace::nic
