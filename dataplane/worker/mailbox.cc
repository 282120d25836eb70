#include "dataplane/worker/mailbox.h"

#include <thread>

namespace millrace::worker {

bool Letter::wait_for(State state, std::chrono::milliseconds limit) const {
  // Looking from time to time costs a person who reads a page nothing, and spares the worker a system call to wake us.
  constexpr std::chrono::milliseconds kPause{1};
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (this->state() < state) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kPause);
  }
  return true;
}

bool Mailbox::post(std::shared_ptr<Letter> letter) {
  const std::lock_guard lock(askers_);
  bool posted = false;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].load(std::memory_order_acquire) != nullptr) continue;
    kept_[i].reset();  // done: the worker has forgotten it
    if (posted) continue;
    kept_[i] = std::move(letter);
    letters_.fetch_add(1, std::memory_order_relaxed);
    slots_[i].store(kept_[i].get(), std::memory_order_release);
    posted = true;
  }
  return posted;
}

}  // namespace millrace::worker
