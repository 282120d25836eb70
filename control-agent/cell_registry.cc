#include "control-agent/cell_registry.h"

#include "dataplane/base/hash.h"

namespace millrace::agent {
namespace {

std::size_t hash_of(const report::EndpointKey& key) {
  const auto bytes = key.address.ip.bytes();
  const std::uint64_t rest = key.cluster * 65'536ULL + key.address.port;
  return xx_hash_64({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, rest);
}

}  // namespace

std::shared_ptr<report::EndpointCell> EndpointCellTable::get(const report::EndpointKey& key) {
  const std::scoped_lock lock(mutex_);
  std::uint32_t* slot = &slot_of(key);
  if (*slot != 0) return {all_, &(*all_)[*slot - 1]};
  if ((all_->size() + 1) * 5 > slots_.size() * 4) {  // four fifths: a search still looks at few
    grow();
    slot = &slot_of(key);
  }
  const auto id = static_cast<std::uint32_t>(all_->size());
  *slot = id + 1;
  return {all_, &all_->emplace_back(id, key, workers_)};
}

// Its own, or the free one where it belongs.
std::uint32_t& EndpointCellTable::slot_of(const report::EndpointKey& key) {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash_of(key) & mask;
  while (slots_[at] != 0 && !((*all_)[slots_[at] - 1].key == key)) at = (at + 1) & mask;
  return slots_[at];
}

void EndpointCellTable::grow() {
  slots_.assign(slots_.size() * 2, 0);
  for (std::size_t id = 0; id < all_->size(); ++id) slot_of((*all_)[id].key) = static_cast<std::uint32_t>(id + 1);
}

}  // namespace millrace::agent
