#include "control-agent/jwks/key_set_store.h"

namespace millrace::agent {

std::shared_ptr<config::JsonWebKeySlot> KeySetStore::slot(const KeySetPlan& plan, std::size_t workers) {
  const std::scoped_lock lock(mutex_);
  forget_unused();
  for (const auto& known : sets_) {
    if (known->plan != plan) continue;
    if (auto slot = known->slot.lock()) return slot;
  }
  auto made = std::make_shared<config::JsonWebKeySlot>(workers);
  sets_.push_back(std::make_shared<const KeySet>(KeySet{.plan = plan, .slot = made}));
  return made;
}

std::vector<std::shared_ptr<const KeySet>> KeySetStore::sets() {
  const std::scoped_lock lock(mutex_);
  forget_unused();
  return sets_;
}

void KeySetStore::forget_unused() {
  std::erase_if(sets_, [](const auto& set) { return set->slot.expired(); });
}

}  // namespace millrace::agent
