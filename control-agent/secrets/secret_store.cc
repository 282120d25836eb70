#include "control-agent/secrets/secret_store.h"

#include <algorithm>
#include <utility>

namespace millrace::agent {

std::shared_ptr<tls::ContextSlot> SecretStore::add(std::string name, MadeContext made, std::vector<WatchedFile> files,
                                                   ContextMaker maker) {
  auto slot = std::make_shared<tls::ContextSlot>(made.context);
  const std::scoped_lock lock(mutex_);
  entries_.push_back(
      {.name = std::move(name), .slot = slot, .made = std::move(made), .files = std::move(files), .maker = std::move(maker)});
  return slot;
}

void SecretStore::forget_unused() {
  std::erase_if(entries_, [](const Entry& entry) { return entry.slot.expired(); });
}

std::vector<SecretChange> SecretStore::refresh() {
  std::vector<SecretChange> changes;
  const std::scoped_lock lock(mutex_);
  forget_unused();
  for (Entry& entry : entries_) {
    const auto slot = entry.slot.lock();
    if (slot == nullptr) continue;
    // Each is looked at, also behind one that has changed: all learn their times.
    const auto count = std::ranges::count_if(entry.files, [](WatchedFile& file) { return changed(file); });
    if (count > 0) changes.push_back(make_again(entry, *slot));
  }
  return changes;
}

std::vector<SecretChange> SecretStore::refresh(const std::set<SecretName>& secrets) {
  std::vector<SecretChange> changes;
  const std::scoped_lock lock(mutex_);
  forget_unused();
  for (Entry& entry : entries_) {
    const auto slot = entry.slot.lock();
    if (slot == nullptr) continue;
    const bool concerned = std::ranges::any_of(entry.made.secrets, [&](const SecretName& name) { return secrets.contains(name); });
    if (concerned) changes.push_back(make_again(entry, *slot));
  }
  return changes;
}

std::set<SecretName> SecretStore::wanted() const {
  const std::scoped_lock lock(mutex_);
  std::set<SecretName> out;
  for (const Entry& entry : entries_) {
    if (!entry.slot.expired()) out.insert(entry.made.secrets.begin(), entry.made.secrets.end());
  }
  return out;
}

SecretChange SecretStore::make_again(Entry& entry, tls::ContextSlot& slot) {
  FileReader reader;
  auto made = entry.maker(reader);
  // Of a refused change too: it is not tried again until something differs from it.
  entry.files = reader.take_files();
  if (!made) {
    ++refused_;
    return {.name = entry.name, .error = std::move(made.error()), .context = entry.made.context};
  }
  ++updated_;
  entry.made = std::move(*made);
  slot.replace(entry.made.context);
  return {.name = entry.name, .error = {}, .context = entry.made.context};
}

std::vector<MadeContext> SecretStore::contexts() const {
  const std::scoped_lock lock(mutex_);
  std::vector<MadeContext> out;
  for (const Entry& entry : entries_) {
    if (!entry.slot.expired() && entry.made.context != nullptr) out.push_back(entry.made);
  }
  return out;
}

std::uint64_t SecretStore::updated() const {
  const std::scoped_lock lock(mutex_);
  return updated_;
}

std::uint64_t SecretStore::refused() const {
  const std::scoped_lock lock(mutex_);
  return refused_;
}

}  // namespace millrace::agent
