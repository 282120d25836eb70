// Mbuf pools; see mbuf_pool.h.
#include "nic/mbuf_pool.h"

#include <algorithm>
#include <new>

#include <rte_errno.h>
#include <rte_mempool.h>

#include "nic/mbuf_packet.h"

namespace millrace::nic {
namespace {

constexpr unsigned kCacheBuffers = 256;          // kept by the worker in front of the ring
constexpr std::size_t kMaxBufferBytes = 65'535;  // mbuf lengths have 16 bits

void fill_buffer(rte_mempool*, void* pool, void* object, unsigned) {
  auto& mbuf = *static_cast<rte_mbuf*>(object);
  ::new (&buffer_of(mbuf)) Buffer{static_cast<std::uint8_t*>(mbuf.buf_addr), mbuf.buf_len, 1, static_cast<PacketPool*>(pool)};
}

}  // namespace

Result<std::unique_ptr<MbufPool>, std::string> MbufPool::create(const MbufPoolOptions& options) {
  const std::string what = "packet pool \"" + options.name + "\" of " + std::to_string(options.buffers) + " buffers";
  if (options.buffers < 2 || options.buffer_bytes <= limits::kPacketHeadroomBytes || options.buffer_bytes > kMaxBufferBytes) {
    return Error<std::string>(what + ": a pool needs at least 2 buffers of " + std::to_string(limits::kPacketHeadroomBytes + 1) +
                              " to " + std::to_string(kMaxBufferBytes) + " bytes, headroom included");
  }
  // DPDK wants buffers >= 1.5 * cache.
  const unsigned cache = std::min<unsigned>(kCacheBuffers, static_cast<unsigned>(options.buffers / 2));
  rte_mempool* mempool =
      rte_pktmbuf_pool_create_by_ops(options.name.c_str(), static_cast<unsigned>(options.buffers), cache, kMbufPrivateBytes,
                                     static_cast<std::uint16_t>(options.buffer_bytes), options.numa_node, "ring_sp_sc");
  if (mempool == nullptr) {
    const std::size_t mb = memory_bytes(options.buffers, options.buffer_bytes) / (1024 * 1024) + 1;
    std::string text = "cannot make " + what + ": " + rte_strerror(rte_errno) + ". ";
    if (rte_errno == ENOMEM) {
      text += "It needs about " + std::to_string(mb) + " MB";
      if (options.numa_node >= 0) text += " on NUMA node " + std::to_string(options.numa_node);
      text +=
          ": give the data plane more memory (huge pages: echo N > /proc/sys/vm/nr_hugepages), or use fewer buffers or workers.";
    } else if (rte_errno == EEXIST) {
      text += "A pool of that name exists.";
    }
    return Error<std::string>(std::move(text));
  }
  std::unique_ptr<MbufPool> pool(new MbufPool(mempool, options.buffer_bytes));
  rte_mempool_obj_iter(mempool, fill_buffer, pool.get());
  return pool;
}

MbufPool::~MbufPool() { rte_mempool_free(mempool_); }

std::size_t MbufPool::capacity() const { return mempool_->size; }
std::size_t MbufPool::in_use() const { return rte_mempool_in_use_count(mempool_); }

std::size_t MbufPool::memory_bytes(std::size_t buffers, std::size_t buffer_bytes) {
  constexpr std::size_t kPerObject = sizeof(rte_mbuf) + kMbufPrivateBytes + 2 * RTE_CACHE_LINE_SIZE;  // header, colour
  return buffers * (kPerObject + (buffer_bytes + 63) / 64 * 64) + buffers * 2 * sizeof(void*);
}

Buffer* MbufPool::take() {
  rte_mbuf* mbuf = rte_mbuf_raw_alloc(mempool_);
  return mbuf == nullptr ? nullptr : &buffer_of(*mbuf);
}

void MbufPool::give_back(Buffer& buffer) {
  buffer.references = 1;
  rte_mbuf_raw_free(&mbuf_of(buffer));
}

}  // namespace millrace::nic
