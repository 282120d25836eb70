#include "nic/model/transmit_engine.h"

#include <algorithm>

#include "dataplane/base/assert.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/endian.h"
#include "dataplane/wire/tcp_header.h"

namespace millrace::nic {
namespace {

constexpr std::size_t kIpv4LengthOffset = 2;
constexpr std::size_t kIpv4IdOffset = 4;
constexpr std::size_t kIpv4ChecksumOffset = 10;
constexpr std::size_t kIpv6LengthOffset = 4;
constexpr std::size_t kTcpSeqOffset = 4;
constexpr std::size_t kTcpDataOffset = 12;
constexpr std::size_t kTcpFlagsOffset = 13;

}  // namespace

void TransmitEngine::start(const Packet& packet) {
  whole_.resize(packet.total_size());
  packet.copy_out(whole_);
  offload_ = packet.offload();
  l2_size_ = packet.l2_size();
  l3_size_ = packet.l3_size();
  segment_size_ = packet.segment_size();
  sent_ = 0;
  done_ = false;
  if ((offload_ & Offload::kSegmentTcp) == 0) return;
  MR_ASSERT((offload_ & Offload::kFillTcpChecksum) != 0 && segment_size_ > 0);
  headers_ = l2_size_ + l3_size_ + std::size_t{whole_[l2_size_ + l3_size_ + kTcpDataOffset]} / 16 * 4;
}

std::span<std::uint8_t> TransmitEngine::next() {
  if (done_) return {};
  if ((offload_ & Offload::kSegmentTcp) != 0) return next_segment();
  done_ = true;
  if ((offload_ & Offload::kFillIpChecksum) != 0) fill_ip_checksum(whole_);
  if ((offload_ & Offload::kFillTcpChecksum) != 0) fill_tcp_checksum(whole_, 0);
  return whole_;
}

std::span<std::uint8_t> TransmitEngine::next_segment() {
  const std::size_t payload = whole_.size() - headers_;
  const std::size_t size = std::min(segment_size_, payload - sent_);
  segment_.assign(whole_.begin(), whole_.begin() + static_cast<std::ptrdiff_t>(headers_));
  const auto from = whole_.begin() + static_cast<std::ptrdiff_t>(headers_ + sent_);
  segment_.insert(segment_.end(), from, from + static_cast<std::ptrdiff_t>(size));
  std::uint8_t* tcp = segment_.data() + l2_size_ + l3_size_;
  wire::store_be32(tcp + kTcpSeqOffset, wire::load_be32(tcp + kTcpSeqOffset) + static_cast<std::uint32_t>(sent_));
  if (sent_ + size < payload) tcp[kTcpFlagsOffset] &= static_cast<std::uint8_t>(~(wire::TcpFlags::kPsh | wire::TcpFlags::kFin));
  if (sent_ > 0) tcp[kTcpFlagsOffset] &= static_cast<std::uint8_t>(~wire::TcpFlags::kCwr);
  write_lengths(segment_, sent_ / segment_size_);
  if (is_v4() && (offload_ & Offload::kFillIpChecksum) != 0) fill_ip_checksum(segment_);
  fill_tcp_checksum(segment_, static_cast<std::uint32_t>(segment_.size() - l2_size_ - l3_size_));
  sent_ += size;
  done_ = sent_ == payload;
  return segment_;
}

void TransmitEngine::write_lengths(std::span<std::uint8_t> frame, std::size_t index) const {
  std::uint8_t* ip = frame.data() + l2_size_;
  const auto size = static_cast<std::uint16_t>(frame.size() - l2_size_);
  if (is_v4()) {
    wire::store_be16(ip + kIpv4LengthOffset, size);
    wire::store_be16(ip + kIpv4IdOffset, static_cast<std::uint16_t>(wire::load_be16(ip + kIpv4IdOffset) + index));
  } else {
    wire::store_be16(ip + kIpv6LengthOffset, static_cast<std::uint16_t>(size - l3_size_));
  }
}

void TransmitEngine::fill_ip_checksum(std::span<std::uint8_t> frame) const {
  const std::span<std::uint8_t> header = frame.subspan(l2_size_, l3_size_);
  wire::store_be16(header.data() + kIpv4ChecksumOffset, 0);
  wire::store_be16(header.data() + kIpv4ChecksumOffset, wire::internet_checksum(header));
}

void TransmitEngine::fill_tcp_checksum(std::span<std::uint8_t> frame, std::uint32_t length) const {
  const std::span<std::uint8_t> tcp = frame.subspan(l2_size_ + l3_size_);
  wire::store_be16(tcp.data() + wire::kTcpChecksumOffset, wire::checksum_finish(wire::checksum_add(length, tcp)));
}

}  // namespace millrace::nic
