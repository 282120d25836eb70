// The engine of a crypto device; see crypto_engine.h.
//
//   slots, in a ring:   tail_ ....... sent_ ....... head_
//                        | the device | wait for a |
//                        | has them   | burst      |
//
// Jobs are handed back from the tail, so that they keep their order whatever the device does.
#include "nic/crypto_engine.h"

#include <algorithm>
#include <array>
#include <utility>

#include <rte_cryptodev.h>
#include <rte_mbuf.h>

#include "dataplane/base/assert.h"
#include "nic/crypto_queue.h"
#include "tls/secret.h"

namespace millrace::nic {
namespace {

using tls::Aead;
using tls::Direction;
using tls::RecordJob;

constexpr std::size_t kBurstJobs = 32;  // to the device, from the device at a time

OperationData& data_of(rte_crypto_op& operation) {
  return *rte_crypto_op_ctod_offset(&operation, OperationData*, kOperationDataOffset);
}

/// Marks of an operation that the device will never take; one that it merely had no room for has none.
bool is_refused(const rte_crypto_op& operation) {
  return operation.status == RTE_CRYPTO_OP_STATUS_INVALID_SESSION || operation.status == RTE_CRYPTO_OP_STATUS_INVALID_ARGS ||
         operation.status == RTE_CRYPTO_OP_STATUS_ERROR;
}

void* make_session(const CryptoQueue& queue, Aead aead, Direction direction, std::span<const std::uint8_t> key,
                   std::size_t additional_bytes) {
  rte_crypto_sym_xform transform{};
  transform.type = RTE_CRYPTO_SYM_XFORM_AEAD;
  transform.aead.op = direction == Direction::kSeal ? RTE_CRYPTO_AEAD_OP_ENCRYPT : RTE_CRYPTO_AEAD_OP_DECRYPT;
  transform.aead.algo = algorithm_of(aead);
  transform.aead.key = {.data = key.data(), .length = static_cast<std::uint16_t>(key.size())};
  transform.aead.iv = {.offset = kNonceOffset, .length = tls::kNonceBytes};
  transform.aead.digest_length = tls::kTagBytes;
  transform.aead.aad_length = static_cast<std::uint16_t>(additional_bytes);
  return rte_cryptodev_sym_session_create(queue.device, &transform, queue.sessions.get());
}

/// A session of the device, or a key of the engine in software.
class CryptoKey final : public tls::RecordKey {
 public:
  CryptoKey(CryptoQueue& queue, void* session, Direction direction, std::size_t additional_bytes)
      : queue_(queue), session_(session), direction_(direction), additional_bytes_(additional_bytes) {
    queue_.tally.keys.fetch_add(1, std::memory_order_relaxed);
  }
  CryptoKey(CryptoQueue& queue, std::unique_ptr<tls::RecordKey> software, Direction direction, std::size_t additional_bytes)
      : queue_(queue), software_(std::move(software)), direction_(direction), additional_bytes_(additional_bytes) {
    queue_.tally.software_keys.fetch_add(1, std::memory_order_relaxed);
  }
  ~CryptoKey() override {
    MR_ASSERT(under_way == 0);
    if (session_ == nullptr) return;
    rte_cryptodev_sym_session_free(queue_.device, session_);
    // Drivers leave the key where it was. The pool is this thread's alone: nobody can have taken the object since.
    tls::wipe({static_cast<std::uint8_t*>(session_), queue_.sessions->elt_size});
    queue_.tally.keys.fetch_sub(1, std::memory_order_relaxed);
  }

  [[nodiscard]] void* session() const { return session_; }
  [[nodiscard]] tls::RecordKey* software() const { return software_.get(); }  ///< null: the device's
  [[nodiscard]] bool seals() const { return direction_ == Direction::kSeal; }
  [[nodiscard]] std::size_t additional_bytes() const { return additional_bytes_; }

  std::size_t under_way = 0;  ///< jobs with the device

 private:
  CryptoQueue& queue_;
  void* session_ = nullptr;
  std::unique_ptr<tls::RecordKey> software_;
  Direction direction_;
  std::size_t additional_bytes_;
};

class CryptoEngine final : public tls::RecordEngine {
 public:
  CryptoEngine(CryptoQueue& queue, std::unique_ptr<tls::RecordEngine> software);
  ~CryptoEngine() override;
  CryptoEngine(const CryptoEngine&) = delete;
  CryptoEngine& operator=(const CryptoEngine&) = delete;

  [[nodiscard]] std::string_view name() const override { return "cryptodev"; }
  [[nodiscard]] bool supports(Aead aead) const override { return offered(aead) || software_->supports(aead); }
  [[nodiscard]] std::unique_ptr<tls::RecordKey> make_key(Aead aead, Direction direction, std::span<const std::uint8_t> key,
                                                         std::size_t additional_bytes) override;
  [[nodiscard]] bool submit(RecordJob& job) override;
  [[nodiscard]] RecordJob* collect() override;

 private:
  struct Slot {
    RecordJob* job = nullptr;
    rte_mbuf* copy = nullptr;  // its own, for a whole text
    std::array<rte_mbuf*, CryptoQueue::kMostParts> segments{};
    bool copied = false;
    bool done = false;
  };

  [[nodiscard]] bool offered(Aead aead) const { return queue_.offers[static_cast<std::size_t>(aead)]; }
  [[nodiscard]] static std::size_t index_of(std::uint32_t number) { return number % CryptoQueue::kMostJobs; }
  void run_in_software(RecordJob& job, tls::RecordKey& key);
  void prepare(std::size_t index, const CryptoKey& key);
  [[nodiscard]] rte_mbuf* lay_in_place(const Slot& slot);
  [[nodiscard]] rte_mbuf* lay_in_copy(const Slot& slot);
  void send();
  void receive();
  void finish(std::size_t index);

  CryptoQueue& queue_;
  const std::unique_ptr<tls::RecordEngine> software_;
  rte_mbuf_ext_shared_info not_counted_{};  // segments ask for one; nobody but us ever holds them
  std::array<rte_crypto_op*, CryptoQueue::kMostJobs> operations_;
  std::array<Slot, CryptoQueue::kMostJobs> slots_;
  std::uint32_t head_ = 0;             // the next one to be filled; all three count on for ever
  std::uint32_t sent_ = 0;             // the next one that the device gets
  std::uint32_t tail_ = 0;             // the next one to be handed back
  IntrusiveList<RecordJob> finished_;  // in software
};

CryptoEngine::CryptoEngine(CryptoQueue& queue, std::unique_ptr<tls::RecordEngine> software)
    : queue_(queue), software_(std::move(software)) {
  // The pools hold exactly what is taken here.
  MR_ASSERT(rte_crypto_op_bulk_alloc(queue.operations.get(), RTE_CRYPTO_OP_TYPE_SYMMETRIC, operations_.data(),
                                     CryptoQueue::kMostJobs) == CryptoQueue::kMostJobs);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    data_of(*operations_[i]).slot = static_cast<std::uint32_t>(i);
    slots_[i].copy = rte_pktmbuf_alloc(queue.copies.get());
    MR_ASSERT(slots_[i].copy != nullptr);
    MR_ASSERT(rte_pktmbuf_alloc_bulk(queue.segments.get(), slots_[i].segments.data(), CryptoQueue::kMostParts) == 0);
  }
}

CryptoEngine::~CryptoEngine() {
  MR_ASSERT(head_ == tail_);
  for (Slot& slot : slots_) {
    rte_pktmbuf_free(slot.copy);
    for (rte_mbuf* segment : slot.segments) {
      segment->ol_flags = 0;
      segment->next = nullptr;
      segment->nb_segs = 1;
      rte_mbuf_raw_free(segment);
    }
  }
  rte_mempool_put_bulk(queue_.operations.get(), reinterpret_cast<void**>(operations_.data()),
                       static_cast<unsigned>(operations_.size()));
}

std::unique_ptr<tls::RecordKey> CryptoEngine::make_key(Aead aead, Direction direction, std::span<const std::uint8_t> key,
                                                       std::size_t additional_bytes) {
  MR_ASSERT(key.size() == tls::key_bytes(aead) && additional_bytes <= RecordJob::kMostAdditionalBytes);
  if (void* session = offered(aead) ? make_session(queue_, aead, direction, key, additional_bytes) : nullptr;
      session != nullptr) {
    return std::make_unique<CryptoKey>(queue_, session, direction, additional_bytes);
  }
  auto software = software_->make_key(aead, direction, key, additional_bytes);
  if (software == nullptr) return nullptr;
  return std::make_unique<CryptoKey>(queue_, std::move(software), direction, additional_bytes);
}

bool CryptoEngine::submit(RecordJob& job) {
  auto& key = *static_cast<CryptoKey*>(job.key);
  MR_ASSERT(job.additional_size == key.additional_bytes());
  if (key.software() != nullptr) {
    run_in_software(job, *key.software());
    return true;
  }
  if (head_ - tail_ == CryptoQueue::kMostJobs) return false;
  const std::size_t index = index_of(head_++);
  slots_[index].job = &job;
  slots_[index].done = false;
  prepare(index, key);
  ++key.under_way;
  if (head_ - sent_ >= kBurstJobs) send();
  return true;
}

void CryptoEngine::run_in_software(RecordJob& job, tls::RecordKey& key) {
  tls::RecordKey* const ours = std::exchange(job.key, &key);
  MR_ASSERT(software_->submit(job) && software_->collect() == &job);
  job.key = ours;
  finished_.push_back(job);
}

void CryptoEngine::prepare(std::size_t index, const CryptoKey& key) {
  Slot& slot = slots_[index];
  const RecordJob& job = *slot.job;
  rte_crypto_op& operation = *operations_[index];
  OperationData& data = data_of(operation);
  std::ranges::copy(job.nonce, data.nonce.begin());
  std::ranges::copy(job.additional, data.additional.begin());
  data.tag = job.tag;

  rte_mbuf* text = lay_in_place(slot);
  slot.copied = text == nullptr;
  if (slot.copied) text = lay_in_copy(slot);
  operation.status = RTE_CRYPTO_OP_STATUS_NOT_PROCESSED;
  MR_ASSERT(rte_crypto_op_attach_sym_session(&operation, key.session()) == 0);
  const rte_iova_t beside = rte_crypto_op_ctophys_offset(&operation, kOperationDataOffset);
  rte_crypto_sym_op& sym = *operation.sym;
  sym.m_src = text;
  sym.m_dst = nullptr;
  sym.aead.data.offset = 0;
  sym.aead.data.length = text->pkt_len;
  sym.aead.digest.data = data.tag.data();
  sym.aead.digest.phys_addr = beside + offsetof(OperationData, tag);
  sym.aead.aad.data = data.additional.data();
  sym.aead.aad.phys_addr = beside + offsetof(OperationData, additional);
}

/// The text as the device reads and writes it where it lies; null: it cannot.
rte_mbuf* CryptoEngine::lay_in_place(const Slot& slot) {
  if (!queue_.layout.in_place) return nullptr;
  const std::size_t most = queue_.layout.in_parts ? CryptoQueue::kMostParts : 1;
  std::size_t count = 0;
  std::uint32_t size = 0;
  for (const std::span<std::uint8_t> part : slot.job->text) {
    if (part.empty()) continue;
    const rte_iova_t iova = queue_.iova_of(part);
    if (count == most || iova == RTE_BAD_IOVA) return nullptr;
    rte_mbuf& segment = *slot.segments[count];
    const auto bytes = static_cast<std::uint16_t>(part.size());
    segment.ol_flags = 0;
    segment.shinfo = nullptr;
    rte_pktmbuf_attach_extbuf(&segment, part.data(), iova, bytes, &not_counted_);
    segment.data_len = bytes;
    segment.next = nullptr;
    if (count > 0) slot.segments[count - 1]->next = &segment;
    size += bytes;
    ++count;
  }
  if (count == 0) return nullptr;
  rte_mbuf& first = *slot.segments[0];
  first.pkt_len = size;
  first.nb_segs = static_cast<std::uint16_t>(count);
  return &first;
}

/// The text in the slot's own buffer, from where finish() brings it back.
rte_mbuf* CryptoEngine::lay_in_copy(const Slot& slot) {
  rte_mbuf& copy = *slot.copy;
  copy.data_off = std::max<std::uint16_t>(queue_.layout.headroom, RTE_PKTMBUF_HEADROOM);
  std::uint8_t* const start = rte_pktmbuf_mtod(&copy, std::uint8_t*);
  std::uint8_t* to = start;
  for (const std::span<std::uint8_t> part : slot.job->text) {
    MR_ASSERT(static_cast<std::size_t>(to - start) + part.size() <= CryptoQueue::kMostTextBytes);
    to = std::ranges::copy(part, to).out;
  }
  copy.data_len = static_cast<std::uint16_t>(to - start);
  copy.pkt_len = copy.data_len;
  return &copy;
}

void CryptoEngine::send() {
  while (sent_ != head_) {
    const std::size_t index = index_of(sent_);
    const auto wanted =
        static_cast<std::uint16_t>(std::min({std::size_t{head_ - sent_}, CryptoQueue::kMostJobs - index, kBurstJobs}));
    const std::uint16_t taken = rte_cryptodev_enqueue_burst(queue_.device, queue_.pair, &operations_[index], wanted);
    sent_ += taken;
    if (taken == wanted) continue;
    const std::size_t next = index_of(sent_);
    if (!is_refused(*operations_[next])) return;  // it is full
    slots_[next].done = true;
    ++sent_;
  }
}

void CryptoEngine::receive() {
  rte_crypto_op* done[kBurstJobs];
  const std::uint16_t count = rte_cryptodev_dequeue_burst(queue_.device, queue_.pair, done, kBurstJobs);
  for (std::uint16_t i = 0; i < count; ++i) slots_[data_of(*done[i]).slot].done = true;
}

RecordJob* CryptoEngine::collect() {
  if (RecordJob* job = finished_.pop_front()) return job;
  if (tail_ == head_) return nullptr;
  const std::size_t index = index_of(tail_);
  if (!slots_[index].done) {
    send();
    receive();
    if (!slots_[index].done) return nullptr;
  }
  finish(index);
  ++tail_;
  return slots_[index].job;
}

void CryptoEngine::finish(std::size_t index) {
  const Slot& slot = slots_[index];
  RecordJob& job = *slot.job;
  auto& key = *static_cast<CryptoKey*>(job.key);
  --key.under_way;
  const std::uint8_t status = operations_[index]->status;
  job.good = status == RTE_CRYPTO_OP_STATUS_SUCCESS;
  if (job.good && slot.copied) {
    const std::uint8_t* from = rte_pktmbuf_mtod(slot.copy, const std::uint8_t*);
    for (const std::span<std::uint8_t> part : job.text) {
      std::copy_n(from, part.size(), part.begin());
      from += part.size();
    }
  }
  if (job.good && key.seals()) job.tag = data_of(*operations_[index]).tag;
  CryptoTally& tally = queue_.tally;
  tally.records.fetch_add(1, std::memory_order_relaxed);
  if (slot.copied) tally.copied.fetch_add(1, std::memory_order_relaxed);
  if (!job.good && status != RTE_CRYPTO_OP_STATUS_AUTH_FAILED) tally.failed.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

std::unique_ptr<tls::RecordEngine> make_crypto_engine(CryptoQueue& queue, std::unique_ptr<tls::RecordEngine> software) {
  return std::make_unique<CryptoEngine>(queue, std::move(software));
}

}  // namespace millrace::nic
