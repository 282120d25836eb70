// Packets and the buffers behind them, as everything above nic/ sees them. Names no DPDK type: two kinds of pool stand behind
// it, mbufs (nic/mbuf_pool.h) and one heap allocation per packet (nic/heap_pool.h: tests, simulator and fuzzers need no EAL,
// and AddressSanitizer sees every over-read there).
//
//   storage                data                    data + size        storage + capacity
//      |<---- headroom ---->|<------- bytes ------->|<---- tailroom ---->|
//
// A Packet is the sole owner of its buffer and may write it. A Slice shares a buffer with others and only reads it. A packet that
// is sent may go on with slices that are attached to it (scatter-gather), where the port takes such packets.
// Buffers, packets and slices belong to one core at a time; reference counts are not atomic. What goes to another core is a
// packet.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <utility>

#include "dataplane/base/assert.h"
#include "dataplane/base/limits.h"

namespace millrace::nic {

class PacketPool;

/// The block of memory behind packets and slices. The pool fills it in.
struct Buffer {
  std::uint8_t* storage = nullptr;
  std::uint32_t capacity = 0;    ///< bytes from storage on
  std::uint32_t references = 0;  ///< one Packet, or any number of Slices
  PacketPool* pool = nullptr;
};

/// What a port has verified, or shall fill in. Bits of Packet::offload().
struct Offload {
  // On receive: what the device found.
  static constexpr std::uint16_t kIpChecksumGood = 1 << 0;
  static constexpr std::uint16_t kIpChecksumBad = 1 << 1;
  static constexpr std::uint16_t kL4ChecksumGood = 1 << 2;
  static constexpr std::uint16_t kL4ChecksumBad = 1 << 3;
  // On transmit: what the port shall fill in. Only set where PortInfo says that it can.
  static constexpr std::uint16_t kFillIpChecksum = 1 << 8;
  static constexpr std::uint16_t kFillTcpChecksum = 1 << 9;  ///< the pseudo-header sum is already in the field
  /// Cut the TCP payload into segments of Packet::segment_size(), each with a copy of the headers; sequence numbers and lengths
  /// advance, PSH and FIN stay with the last, CWR with the first. The sum in the checksum field leaves out the length.
  static constexpr std::uint16_t kSegmentTcp = 1 << 10;
};

/// What a port does on transmit; what it does not, the stack does in software.
struct TxOffloads {
  bool ip_checksum = false;       ///< Offload::kFillIpChecksum
  bool tcp_checksum = false;      ///< Offload::kFillTcpChecksum
  bool multi_segment = false;     ///< packets with attached slices
  bool tcp_segmentation = false;  ///< Offload::kSegmentTcp; only together with tcp_checksum and multi_segment
  constexpr bool operator==(const TxOffloads&) const = default;
};

class Slice;

class Packet {
 public:
  Packet() = default;
  Packet(Packet&& other) noexcept { swap(other); }
  Packet& operator=(Packet&& other) noexcept {
    Packet(std::move(other)).swap(*this);
    return *this;
  }
  Packet(const Packet&) = delete;
  Packet& operator=(const Packet&) = delete;
  inline ~Packet();

  /// False for a packet that was moved from, or that an exhausted pool could not give.
  explicit operator bool() const { return buffer_ != nullptr; }

  [[nodiscard]] std::uint8_t* data() { return data_; }
  [[nodiscard]] const std::uint8_t* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::span<std::uint8_t> bytes() { return {data_, size_}; }
  [[nodiscard]] std::span<const std::uint8_t> bytes() const { return {data_, size_}; }
  [[nodiscard]] std::size_t headroom() const { return static_cast<std::size_t>(data_ - buffer_->storage); }
  [[nodiscard]] std::size_t tailroom() const { return attached_ > 0 ? 0 : buffer_->capacity - headroom() - size_; }

  /// Grows at the front by `count` bytes, which must fit the headroom, and returns them, uninitialised.
  std::uint8_t* prepend(std::size_t count) {
    MR_ASSERT(count <= headroom());
    data_ -= count;
    size_ += static_cast<std::uint32_t>(count);
    return data_;
  }
  /// Grows at the end by `count` bytes, which must fit the tailroom, and returns them, uninitialised.
  std::uint8_t* append(std::size_t count) {
    MR_ASSERT(count <= tailroom());
    std::uint8_t* tail = data_ + size_;
    size_ += static_cast<std::uint32_t>(count);
    return tail;
  }
  void append(std::span<const std::uint8_t> bytes) {
    if (!bytes.empty()) std::memcpy(append(bytes.size()), bytes.data(), bytes.size());
  }
  void remove_prefix(std::size_t count) {
    MR_ASSERT(count <= size_);
    data_ += count;
    size_ -= static_cast<std::uint32_t>(count);
  }
  /// Cuts the packet to its first `size` bytes.
  void truncate(std::size_t size) {
    MR_ASSERT(size <= size_);
    size_ = static_cast<std::uint32_t>(size);
  }

  [[nodiscard]] std::uint16_t offload() const { return offload_; }
  void set_offload(std::uint16_t bits) { offload_ = bits; }
  /// The port a received packet came from, an index below limits::kMaxPorts.
  [[nodiscard]] std::uint8_t port() const { return port_; }
  void set_port(std::uint8_t port) { port_ = port; }
  /// Lengths of the Ethernet and IP headers of a packet to be sent: devices that fill checksums ask for them.
  [[nodiscard]] std::uint8_t l2_size() const { return l2_size_; }
  [[nodiscard]] std::uint8_t l3_size() const { return l3_size_; }
  void set_header_sizes(std::uint8_t l2, std::uint8_t l3) {
    l2_size_ = l2;
    l3_size_ = l3;
  }

  /// The payload of each segment, for Offload::kSegmentTcp.
  [[nodiscard]] std::uint16_t segment_size() const { return segment_size_; }
  void set_segment_size(std::uint16_t bytes) { segment_size_ = bytes; }

  /// What a packet to be sent goes on with after its own bytes, at most this many slices.
  static constexpr std::size_t kMostAttached = 48;
  /// The slices are kept at the buffer's end: nothing can be appended to the packet's own bytes afterwards. False when there are
  /// kMostAttached, or the buffer has no room for them.
  [[nodiscard]] inline bool attach(Slice slice);
  [[nodiscard]] inline std::span<const Slice> attached() const;
  inline void detach_all();
  /// Bytes of the packet with all that is attached: size() for packets without.
  [[nodiscard]] std::size_t total_size() const { return size_ + attached_bytes_; }
  /// Copies the packet with all that is attached, as far as it fits; returns how many bytes.
  inline std::size_t copy_out(std::span<std::uint8_t> out) const;

  /// For pools and ports: wraps a buffer whose one reference passes to the packet.
  [[nodiscard]] static Packet adopt(Buffer& buffer, std::uint8_t* data, std::size_t size) {
    Packet packet;
    packet.buffer_ = &buffer;
    packet.data_ = data;
    packet.size_ = static_cast<std::uint32_t>(size);
    return packet;
  }
  /// The reverse: the caller now owns the reference; null for an empty packet. Nothing may be attached.
  [[nodiscard]] Buffer* release() {
    MR_ASSERT(attached_ == 0);
    data_ = nullptr;
    size_ = 0;
    return std::exchange(buffer_, nullptr);
  }
  [[nodiscard]] const Buffer* buffer() const { return buffer_; }

 private:
  void swap(Packet& other) noexcept {
    std::swap(buffer_, other.buffer_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(offload_, other.offload_);
    std::swap(port_, other.port_);
    std::swap(l2_size_, other.l2_size_);
    std::swap(l3_size_, other.l3_size_);
    std::swap(segment_size_, other.segment_size_);
    std::swap(attached_, other.attached_);
    std::swap(attached_bytes_, other.attached_bytes_);
  }
  [[nodiscard]] inline Slice* attachments() const;

  Buffer* buffer_ = nullptr;
  std::uint8_t* data_ = nullptr;
  std::uint32_t size_ = 0;
  std::uint32_t attached_bytes_ = 0;
  std::uint16_t offload_ = 0;
  std::uint16_t segment_size_ = 0;
  std::uint8_t l2_size_ = 0;
  std::uint8_t l3_size_ = 0;
  std::uint8_t port_ = 0;
  std::uint8_t attached_ = 0;
};
static_assert(sizeof(Packet) == 32, "two to a cache line: bursts are arrays of them");

/// Where buffers come from. What several workers use says so itself (nic/mbuf_pool.h).
class PacketPool {
 public:
  virtual ~PacketPool() = default;
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;

  /// An empty packet with `headroom` bytes before it; false when the pool is exhausted, which is counted.
  [[nodiscard]] Packet allocate(std::size_t headroom = limits::kPacketHeadroomBytes) {
    Buffer* buffer = take();
    if (buffer == nullptr) [[unlikely]] {
      exhausted_.fetch_add(1, std::memory_order_relaxed);
      return {};
    }
    buffer->references = 1;
    return Packet::adopt(*buffer, buffer->storage + headroom, 0);
  }
  /// How often allocate() found nothing.
  [[nodiscard]] std::uint64_t exhausted() const { return exhausted_.load(std::memory_order_relaxed); }
  [[nodiscard]] virtual std::size_t buffer_bytes() const = 0;  ///< of each, headroom included
  [[nodiscard]] virtual std::size_t capacity() const = 0;      ///< buffers
  [[nodiscard]] virtual std::size_t in_use() const = 0;        ///< buffers

  static void add_reference(Buffer& buffer) { ++buffer.references; }
  static void drop_reference(Buffer& buffer) {
    MR_ASSERT(buffer.references > 0);
    if (--buffer.references == 0) buffer.pool->give_back(buffer);
  }

 protected:
  PacketPool() = default;
  /// A buffer with storage, capacity and pool set; null when there is none.
  virtual Buffer* take() = 0;
  virtual void give_back(Buffer& buffer) = 0;

 private:
  std::atomic<std::uint64_t> exhausted_{0};
};

inline Packet::~Packet() {
  if (attached_ > 0) [[unlikely]]
    detach_all();
  if (buffer_ != nullptr) PacketPool::drop_reference(*buffer_);
}

/// A shared, read-only view of bytes in a buffer; keeps the buffer alive.
class Slice {
 public:
  Slice() = default;
  /// Takes over the packet's bytes; the packet is empty afterwards.
  explicit Slice(Packet&& packet)
      : data_(packet.data()), size_(static_cast<std::uint32_t>(packet.size())), buffer_(packet.release()) {}
  Slice(const Slice& other) : data_(other.data_), size_(other.size_), buffer_(other.buffer_) {
    if (buffer_ != nullptr) PacketPool::add_reference(*buffer_);
  }
  Slice(Slice&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        buffer_(std::exchange(other.buffer_, nullptr)) {}
  Slice& operator=(Slice other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~Slice() {
    if (buffer_ != nullptr) PacketPool::drop_reference(*buffer_);
  }

  [[nodiscard]] const std::uint8_t* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::span<const std::uint8_t> bytes() const { return {data_, size_}; }
  /// Bytes of memory that this slice pins: what windows and limits charge.
  [[nodiscard]] std::size_t charge() const { return buffer_ == nullptr ? 0 : buffer_->capacity; }

  void remove_prefix(std::size_t count) {
    MR_ASSERT(count <= size_);
    data_ += count;
    size_ -= static_cast<std::uint32_t>(count);
  }
  void truncate(std::size_t size) {
    MR_ASSERT(size <= size_);
    size_ = static_cast<std::uint32_t>(size);
  }
  /// Another view of the bytes [offset, offset + size).
  [[nodiscard]] Slice subslice(std::size_t offset, std::size_t size) const {
    MR_ASSERT(offset + size <= size_);
    Slice part(*this);
    part.data_ += offset;
    part.size_ = static_cast<std::uint32_t>(size);
    return part;
  }

  /// If we are the only owner, the room behind our last byte; else 0. What a Chain may append to.
  [[nodiscard]] std::size_t writable_tailroom() const {
    if (buffer_ == nullptr || buffer_->references != 1) return 0;
    return static_cast<std::size_t>(buffer_->storage + buffer_->capacity - (data_ + size_));
  }
  /// Appends to a solely owned slice; `bytes` must fit writable_tailroom().
  void append(std::span<const std::uint8_t> bytes) {
    MR_ASSERT(bytes.size() <= writable_tailroom());
    std::memcpy(const_cast<std::uint8_t*>(data_) + size_, bytes.data(), bytes.size());
    size_ += static_cast<std::uint32_t>(bytes.size());
  }
  /// Nobody else holds the buffer: all of it may be written.
  [[nodiscard]] bool is_sole() const { return buffer_ != nullptr && buffer_->references == 1; }
  /// The bytes, for who knows that nobody else looks at these.
  [[nodiscard]] std::span<std::uint8_t> mutable_bytes() { return {const_cast<std::uint8_t*>(data_), size_}; }
  /// If we are the only owner, the room before our first byte; else 0.
  [[nodiscard]] std::size_t writable_headroom() const {
    return is_sole() ? static_cast<std::size_t>(data_ - buffer_->storage) : 0;
  }
  /// Grows at the front by `count` bytes, which must fit writable_headroom(), and returns them, uninitialised.
  std::uint8_t* prepend(std::size_t count) {
    MR_ASSERT(count <= writable_headroom());
    data_ -= count;
    size_ += static_cast<std::uint32_t>(count);
    return const_cast<std::uint8_t*>(data_);
  }
  /// Grows at the end by `count` bytes, which must fit writable_tailroom(), and returns them, uninitialised.
  std::uint8_t* grow(std::size_t count) {
    MR_ASSERT(count <= writable_tailroom());
    std::uint8_t* const added = const_cast<std::uint8_t*>(data_) + size_;
    size_ += static_cast<std::uint32_t>(count);
    return added;
  }
  [[nodiscard]] bool same_buffer(const Slice& other) const { return buffer_ == other.buffer_; }
  [[nodiscard]] const Buffer* buffer() const { return buffer_; }

 private:
  const std::uint8_t* data_ = nullptr;
  std::uint32_t size_ = 0;
  Buffer* buffer_ = nullptr;
};

inline Slice* Packet::attachments() const {
  const std::size_t offset = (buffer_->capacity - kMostAttached * sizeof(Slice)) / alignof(Slice) * alignof(Slice);
  return reinterpret_cast<Slice*>(buffer_->storage + offset);
}

inline bool Packet::attach(Slice slice) {
  if (attached_ == kMostAttached) return false;
  if (attached_ == 0 && tailroom() < kMostAttached * sizeof(Slice) + alignof(Slice)) return false;
  attached_bytes_ += static_cast<std::uint32_t>(slice.size());
  ::new (static_cast<void*>(attachments() + attached_)) Slice(std::move(slice));
  ++attached_;
  return true;
}

inline std::span<const Slice> Packet::attached() const {
  return attached_ == 0 ? std::span<const Slice>() : std::span<const Slice>(attachments(), attached_);
}

inline void Packet::detach_all() {
  for (; attached_ > 0; --attached_) attachments()[attached_ - 1].~Slice();
  attached_bytes_ = 0;
}

inline std::size_t Packet::copy_out(std::span<std::uint8_t> out) const {
  std::size_t copied = std::min<std::size_t>(size_, out.size());
  std::copy_n(data_, copied, out.data());
  for (const Slice& slice : attached()) {
    const std::size_t part = std::min(slice.size(), out.size() - copied);
    std::copy_n(slice.data(), part, out.data() + copied);
    copied += part;
  }
  return copied;
}

}  // namespace millrace::nic
