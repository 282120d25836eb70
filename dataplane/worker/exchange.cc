#include "dataplane/worker/exchange.h"

#include <utility>

namespace millrace::worker {

Exchange::Exchange(std::size_t workers) : members_(workers) {
  for (std::size_t from = 0; from < workers; ++from) {
    for (std::size_t to = 0; to < workers; ++to) {
      members_[from].to.push_back(from == to ? nullptr : std::make_unique<SpscRing<Parcel>>(limits::kExchangeParcels));
    }
  }
}

bool Exchange::put(std::size_t from, std::size_t to, Parcel&& parcel) { return ring(from, to).put(std::move(parcel)); }

// The sleeper says that it sleeps and then looks; we fill the ring and then look whether it sleeps. Both looks are
// read-modify-writes of one variable, so that at least one of the two sees what the other did.
void Exchange::publish(std::size_t from) {
  for (std::size_t to = 0; to < members_.size(); ++to) {
    if (from == to || !ring(from, to).publish()) continue;
    Member& member = members_[to];
    if (member.asleep.exchange(false, std::memory_order_acq_rel) && member.wake) member.wake();
  }
}

bool Exchange::may_sleep(std::size_t worker) {
  members_[worker].asleep.exchange(true, std::memory_order_acq_rel);
  for (std::size_t from = 0; from < members_.size(); ++from) {
    if (from == worker || ring(from, worker).empty()) continue;
    wake_up(worker);
    return false;
  }
  return true;
}

}  // namespace millrace::worker
