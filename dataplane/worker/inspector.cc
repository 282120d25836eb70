#include "dataplane/worker/inspector.h"

#include <algorithm>

#include "dataplane/worker/connection_info.h"

namespace millrace::worker {
namespace {

// In the unit of limits::kWalkCostPerTurn.
constexpr std::size_t kBucketCost = 1;
constexpr std::size_t kEntryCost = 4;
constexpr std::size_t kCopyCost = 32;

}  // namespace

bool Inspector::serve_letters(Mailbox& mailbox, Instant now) {
  std::size_t budget = limits::kWalkCostPerTurn;
  bool more = false;
  mailbox.for_each([&](Letter& letter) {
    if (auto* capture = std::get_if<Capture>(&letter.request)) return follow(*capture, letter.abandoned());
    const bool done = letter.abandoned() || walk(std::get<ConnectionQuery>(letter.request), budget, now);
    more |= !done;
    return done;
  });
  return more;
}

// Several queries share a turn's budget: the first is finished before the next begins.
bool Inspector::walk(ConnectionQuery& query, std::size_t& budget, Instant now) {
  bool done = false;
  while (!done && budget > 0) {
    std::size_t cost = kBucketCost;
    done = tcp_.walk(query.position, 1, [&](const auto& entry) { cost += look_at(query, entry, now); });
    budget -= std::min(cost, budget);
  }
  return done;
}

template <typename Entry>
std::size_t Inspector::look_at(ConnectionQuery& query, const Entry& entry, Instant now) {
  const tcp::FlowKey& flow = entry.key;
  if (!query.filter.matches(state_of(entry), {flow.local_ip, flow.local_port}, {flow.peer_ip, flow.peer_port})) return kEntryCost;
  if (query.count == query.found.size()) {
    ++query.left_out;
    return kEntryCost;
  }
  report::ConnectionInfo& info = query.found[query.count++];
  describe(entry, info, now);
  info.worker = worker_;
  return kCopyCost;
}

bool Inspector::follow(Capture& capture, bool abandoned) {
  if (abandoned) {
    taps_.remove(capture);
    return true;
  }
  return !taps_.has(capture) && !taps_.add(capture);
}

}  // namespace millrace::worker
