#include "dataplane/worker/capture_taps.h"

#include <algorithm>

namespace millrace::worker {

CaptureTaps::CaptureTaps(std::int64_t wall_offset_nanoseconds)
    : wall_offset_(wall_offset_nanoseconds), joined_(new std::uint8_t[limits::kCaptureFrameBytes]) {}

bool CaptureTaps::add(Capture& capture) {
  if (count_ == captures_.size()) return false;
  captures_[count_++] = &capture;
  return true;
}

void CaptureTaps::remove(const Capture& capture) {
  const auto end = captures_.begin() + static_cast<std::ptrdiff_t>(count_);
  count_ = static_cast<std::size_t>(std::remove(captures_.begin(), end, &capture) - captures_.begin());
  if (count_ == 0) seen_.fill(0);
}

bool CaptureTaps::has(const Capture& capture) const {
  return std::find(captures_.begin(), captures_.begin() + static_cast<std::ptrdiff_t>(count_), &capture) !=
         captures_.begin() + static_cast<std::ptrdiff_t>(count_);
}

void CaptureTaps::on_received(std::size_t port, std::span<const nic::Packet> frames, Instant now) {
  for (const nic::Packet& frame : frames) copy(port, frame, now);
}

void CaptureTaps::on_transmit(std::size_t port, std::span<const nic::Packet> frames, Instant now) {
  for (std::size_t i = seen_[port]; i < frames.size(); ++i) copy(port, frames[i], now);
}

void CaptureTaps::on_transmitted(std::size_t port, std::size_t offered, std::size_t taken) {
  seen_[port] = std::max(seen_[port], offered) - taken;
}

void CaptureTaps::copy(std::size_t port, const nic::Packet& frame, Instant now) {
  std::span<const std::uint8_t> bytes;
  for (std::size_t i = 0; i < count_; ++i) {
    Capture& capture = *captures_[i];
    if ((capture.order.ports >> port & 1u) == 0) continue;
    if (bytes.empty()) bytes = first_bytes(frame);
    if (capture.order.filter != nullptr && !capture.order.filter->accepts(bytes, frame.total_size())) continue;
    const auto part = bytes.first(std::min(bytes.size(), capture.order.snap_bytes));
    if (!capture.ring.push(now.to_nanoseconds() + wall_offset_, part, frame.total_size())) ++dropped_;
  }
}

// In one piece, as filters need it: where the frame lies, unless it lies in several.
std::span<const std::uint8_t> CaptureTaps::first_bytes(const nic::Packet& frame) {
  if (frame.attached().empty()) return frame.bytes();
  const std::size_t size = frame.copy_out({joined_.get(), limits::kCaptureFrameBytes});
  return {joined_.get(), size};
}

}  // namespace millrace::worker
