#include "dataplane/tcp/coalescer.h"

#include <utility>

namespace millrace::tcp {
namespace {

// Data of an open connection that says nothing special.
bool is_plain(const Segment& segment) {
  const std::uint8_t flags = segment.flags & static_cast<std::uint8_t>(~TcpFlags::kPsh);
  return flags == TcpFlags::kAck && segment.options.sack_count == 0 && !segment.congestion && !segment.payload_dropped;
}

bool say_the_same(const Segment& a, const Segment& b) {
  if (a.options.timestamps.has_value() != b.options.timestamps.has_value()) return false;
  const bool same_time = !a.options.timestamps || (a.options.timestamps->value == b.options.timestamps->value &&
                                                   a.options.timestamps->echo == b.options.timestamps->echo);
  return same_time && a.ack == b.ack && a.window == b.window;
}

}  // namespace

Coalescer::Run* Coalescer::find(const FlowKey& flow) {
  for (std::size_t i = count_; i > 0; --i) {  // most often the newest
    if (runs_[i - 1].flow == flow) return &runs_[i - 1];
  }
  return nullptr;
}

bool Coalescer::extend(const FlowKey& flow, Segment& segment) {
  Run* run = count_ > 0 ? find(flow) : nullptr;
  if (run == nullptr || run->ended || !is_plain(segment) || !say_the_same(run->first, segment)) return false;
  const std::size_t size = segment.payload.size();
  const SeqNum end = run->first.seq + SeqLen(run->first.payload.size() + run->rest.size());
  if (segment.seq != end || size == 0 || size > run->full_size || size > run->room) return false;
  if (!run->rest.append(segment.payload)) return false;
  run->room -= static_cast<std::uint32_t>(size);
  run->ended = size < run->full_size || segment.has(TcpFlags::kPsh);
  run->first.flags |= segment.flags;
  return true;
}

bool Coalescer::start(Endpoint& endpoint, const FlowKey& flow, Segment& segment, std::uint32_t room) {
  const std::size_t size = segment.payload.size();
  if (size < kLeastPayloadBytes || size > room || !is_plain(segment) || segment.has(TcpFlags::kPsh)) return false;
  Run& run = runs_[count_++];
  run.rest.clear();
  run.endpoint = &endpoint;
  run.flow = flow;
  run.first = std::move(segment);
  run.room = room - static_cast<std::uint32_t>(size);
  run.full_size = static_cast<std::uint32_t>(size);
  run.ended = false;
  return true;
}

Coalescer::Run* Coalescer::take(const FlowKey& flow) {
  Run* run = count_ > 0 ? find(flow) : nullptr;
  if (run == nullptr) return nullptr;
  --count_;
  if (run != &runs_[count_]) std::swap(*run, runs_[count_]);
  return &runs_[count_];
}

Coalescer::Run* Coalescer::take_any() { return count_ > 0 ? &runs_[--count_] : nullptr; }

}  // namespace millrace::tcp
