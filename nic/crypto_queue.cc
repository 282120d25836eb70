// Pools of sessions are made by a function that DPDK 22.11 still calls experimental; there is no other.
#define ALLOW_EXPERIMENTAL_API

#include "nic/crypto_queue.h"

#include <algorithm>

#include <rte_cryptodev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_memory.h>

namespace millrace::nic {
namespace {

constexpr std::size_t kUsualSessionBytes = 2'048;  // before the driver can be asked

/// What an object of a pool costs besides itself: its header, what keeps memory channels apart, its place in the ring.
constexpr std::size_t kBesideObject = 2 * RTE_CACHE_LINE_SIZE + 2 * sizeof(void*);

}  // namespace

Result<std::unique_ptr<CryptoQueue>, std::string> CryptoQueue::create(const std::string& name, std::uint8_t device,
                                                                      std::uint16_t pair, const Layout& layout,
                                                                      std::size_t sessions, int numa_node) {
  auto queue = std::make_unique<CryptoQueue>();
  queue->device = device;
  queue->pair = pair;
  queue->layout = layout;
  const auto session_bytes = rte_cryptodev_sym_get_private_session_size(device);
  queue->sessions.reset(rte_cryptodev_sym_session_pool_create((name + "-keys").c_str(), static_cast<std::uint32_t>(sessions),
                                                              session_bytes, 0, 0, numa_node));
  constexpr std::size_t kBehindOperation =
      kOperationDataOffset - sizeof(rte_crypto_op) - sizeof(rte_crypto_sym_op) + sizeof(OperationData);
  queue->operations.reset(rte_crypto_op_pool_create((name + "-ops").c_str(), RTE_CRYPTO_OP_TYPE_SYMMETRIC, kMostJobs, 0,
                                                    kBehindOperation, numa_node));
  queue->segments.reset(rte_pktmbuf_pool_create((name + "-parts").c_str(), kMostJobs * kMostParts, 0, 0, 0, numa_node));
  const std::size_t room = std::max<std::size_t>(layout.headroom, RTE_PKTMBUF_HEADROOM) + kMostTextBytes + layout.tailroom;
  queue->copies.reset(
      rte_pktmbuf_pool_create((name + "-copies").c_str(), kMostJobs, 0, 0, static_cast<std::uint16_t>(room), numa_node));
  if (queue->sessions == nullptr || queue->operations == nullptr || queue->segments == nullptr || queue->copies == nullptr) {
    const std::size_t bytes = sessions * (session_bytes + kBesideObject) + memory_bytes(0);
    return Error<std::string>("queue pair " + std::to_string(pair) + " finds no memory: " + rte_strerror(rte_errno) +
                              ". It needs about " + std::to_string(bytes / (1024 * 1024) + 1) + " MB for " +
                              std::to_string(sessions) + " keys of " + std::to_string(session_bytes) +
                              " bytes and its texts: give the data plane more memory, or `connections` less");
  }
  return queue;
}

std::size_t CryptoQueue::memory_bytes(std::size_t sessions) {
  constexpr std::size_t kOperation = kOperationDataOffset + sizeof(OperationData) + kBesideObject;
  constexpr std::size_t kTexts = kMostParts * (sizeof(rte_mbuf) + kBesideObject) +
                                 (sizeof(rte_mbuf) + RTE_PKTMBUF_HEADROOM + kMostTextBytes + kBesideObject);
  return sessions * (kUsualSessionBytes + kBesideObject) + kMostJobs * (kOperation + kTexts);
}

rte_iova_t CryptoQueue::iova_of(std::span<const std::uint8_t> bytes) const {
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
  if (layout.any_memory) return address;
  const rte_memseg* page = rte_mem_virt2memseg(bytes.data(), nullptr);
  if (page == nullptr) return RTE_BAD_IOVA;
  if (rte_eal_iova_mode() == RTE_IOVA_VA) return address;
  const std::uintptr_t offset = address - page->addr_64;
  return offset + bytes.size() <= page->len ? page->iova + offset : RTE_BAD_IOVA;
}

}  // namespace millrace::nic
