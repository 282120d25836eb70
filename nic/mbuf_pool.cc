// Mbuf pools; see mbuf_pool.h.
#include "nic/mbuf_pool.h"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include <rte_errno.h>
#include <rte_mempool.h>

#include "nic/mbuf_packet.h"

namespace millrace::nic {
namespace {

constexpr unsigned kCacheBuffers = 256;  // kept by each worker in front of the ring
constexpr std::size_t kBuffersPerReference = 2;
constexpr std::size_t kMaxBufferBytes = 65'535;  // mbuf lengths have 16 bits

void fill_buffer(rte_mempool*, void* pool, void* object, unsigned) {
  auto& mbuf = *static_cast<rte_mbuf*>(object);
  ::new (&buffer_of(mbuf)) Buffer{static_cast<std::uint8_t*>(mbuf.buf_addr), mbuf.buf_len, 1, static_cast<PacketPool*>(pool)};
}

/// As rte_pktmbuf_pool_create(), which keeps every buffer within a page whoever reads it: of 4 KiB pages 40% are lost that way,
/// and the AF_XDP driver counts on none being lost.
rte_mempool* make_mempool(const std::string& name, std::size_t count, std::size_t private_bytes, std::size_t bytes,
                          const MbufPoolOptions& options) {
  rte_pktmbuf_pool_private sizes{};
  sizes.mbuf_data_room_size = static_cast<std::uint16_t>(bytes);
  sizes.mbuf_priv_size = static_cast<std::uint16_t>(private_bytes);
  const unsigned cache = std::min<unsigned>(kCacheBuffers, static_cast<unsigned>(count / 2));  // buffers >= 1.5 * cache
  const auto element = static_cast<unsigned>(sizeof(rte_mbuf) + private_bytes + bytes);
  rte_mempool* pool = rte_mempool_create_empty(name.c_str(), static_cast<unsigned>(count), element, cache, sizeof(sizes),
                                               options.numa_node, options.physical ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG);
  if (pool == nullptr) return nullptr;
  int result = rte_mempool_set_ops_byname(pool, options.shared ? "ring_mp_mc" : "ring_sp_sc", nullptr);
  if (result == 0) {
    rte_pktmbuf_pool_init(pool, &sizes);
    result = rte_mempool_populate_default(pool);
  }
  if (result < 0) {
    rte_mempool_free(pool);
    rte_errno = -result;
    return nullptr;
  }
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
  return pool;
}

}  // namespace

Result<std::unique_ptr<MbufPool>, std::string> MbufPool::create(const MbufPoolOptions& options) {
  const std::string what = "packet pool \"" + options.name + "\" of " + std::to_string(options.buffers) + " buffers";
  if (options.buffers < 2 || options.buffer_bytes <= limits::kPacketHeadroomBytes || options.buffer_bytes > kMaxBufferBytes) {
    return Error<std::string>(what + ": a pool needs at least 2 buffers of " + std::to_string(limits::kPacketHeadroomBytes + 1) +
                              " to " + std::to_string(kMaxBufferBytes) + " bytes, headroom included");
  }
  const auto make = [&](const std::string& name, std::size_t count, std::size_t private_bytes, std::size_t bytes) {
    return make_mempool(name, count, private_bytes, bytes, options);
  };
  rte_mempool* mempool = make(options.name, options.buffers, kMbufPrivateBytes, options.buffer_bytes);
  rte_mempool* references =
      mempool == nullptr ? nullptr
                         : make(options.name + "-ref", std::max<std::size_t>(options.buffers / kBuffersPerReference, 2), 0, 0);
  if (references == nullptr) {
    rte_mempool_free(mempool);
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
  std::unique_ptr<MbufPool> pool(new MbufPool(mempool, references, options.buffer_bytes));
  rte_mempool_obj_iter(mempool, fill_buffer, pool.get());
  return pool;
}

MbufPool::~MbufPool() {
  rte_mempool_free(references_);
  rte_mempool_free(mempool_);
}

std::size_t MbufPool::capacity() const { return mempool_->size; }
std::size_t MbufPool::in_use() const { return rte_mempool_in_use_count(mempool_); }

std::size_t MbufPool::memory_bytes(std::size_t buffers, std::size_t buffer_bytes) {
  constexpr std::size_t kPerObject = sizeof(rte_mbuf) + kMbufPrivateBytes + 2 * RTE_CACHE_LINE_SIZE;  // header, colour
  const std::size_t references = buffers / kBuffersPerReference * (kPerObject - kMbufPrivateBytes);
  return buffers * (kPerObject + (buffer_bytes + 63) / 64 * 64) + buffers * 2 * 2 * sizeof(void*) + references;
}

Buffer* MbufPool::take() {
  rte_mbuf* mbuf = rte_mbuf_raw_alloc(mempool_);
  return mbuf == nullptr ? nullptr : &buffer_of(*mbuf);
}

void MbufPool::give_back(Buffer& buffer) {
  buffer.references = 1;
  rte_mbuf& mbuf = mbuf_of(buffer);
  if (mbuf.nb_segs != 1) [[unlikely]] {
    rte_pktmbuf_free(std::exchange(mbuf.next, nullptr));
    mbuf.nb_segs = 1;
  }
  if (rte_mbuf_refcnt_read(&mbuf) == 1) [[likely]]
    return rte_mbuf_raw_free(&mbuf);
  // A device still sends from it: who gives the last reference back, frees it. It may have been the last just now.
  if (rte_mbuf_refcnt_update(&mbuf, -1) != 0) return;
  rte_mbuf_refcnt_set(&mbuf, 1);
  rte_mbuf_raw_free(&mbuf);
}

bool MbufPool::chain_attached(Packet& packet) {
  Buffer& own = const_cast<Buffer&>(*packet.buffer());
  rte_mbuf& head = mbuf_of(own);
  const std::span<const Slice> parts = packet.attached();
  std::array<rte_mbuf*, Packet::kMostAttached> chain;
  if (rte_pktmbuf_alloc_bulk(static_cast<MbufPool*>(own.pool)->references_, chain.data(), static_cast<unsigned>(parts.size())) !=
      0)
    return false;
  head.pkt_len = static_cast<std::uint32_t>(packet.total_size());
  head.nb_segs = static_cast<std::uint16_t>(parts.size() + 1);
  rte_mbuf* last = &head;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    rte_mbuf& to = mbuf_of(const_cast<Buffer&>(*parts[i].buffer()));
    rte_pktmbuf_attach(chain[i], &to);
    chain[i]->data_off = static_cast<std::uint16_t>(parts[i].data() - static_cast<std::uint8_t*>(to.buf_addr));
    chain[i]->data_len = static_cast<std::uint16_t>(parts[i].size());
    last->next = chain[i];
    last = chain[i];
  }
  last->next = nullptr;
  packet.detach_all();
  return true;
}

}  // namespace millrace::nic
