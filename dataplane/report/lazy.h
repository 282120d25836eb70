// What most cells never need: made when somebody first asks for it. A world has many more clusters and endpoints than ever get a
// request; statistics and records that stand ready for all of them would cost more than all of the configuration.
#pragma once

#include <atomic>

namespace millrace::report {

/// A T, or, until it is first asked for, the place of one: a pointer. Any thread may call everything; what is in the T says for
/// itself who writes there. Once made it stays where it is as long as this does.
template <typename T>
class Lazy {
 public:
  Lazy() = default;
  Lazy(const Lazy&) = delete;
  Lazy& operator=(const Lazy&) = delete;
  ~Lazy() { delete made_.load(std::memory_order_relaxed); }

  /// Makes it, where nobody has yet: one allocation in its life.
  [[nodiscard]] T& get() {
    T* made = made_.load(std::memory_order_acquire);
    return made != nullptr ? *made : make();
  }
  /// For who only reads: as it is at the beginning, where nobody has asked for it yet.
  [[nodiscard]] const T& peek() const {
    const T* made = made_.load(std::memory_order_acquire);
    return made != nullptr ? *made : kBeginning;
  }
  [[nodiscard]] bool is_made() const { return made_.load(std::memory_order_acquire) != nullptr; }

 private:
  inline static const T kBeginning = T();

  // Of several that come at once the first one's stays.
  [[gnu::noinline, gnu::cold]] T& make() {
    T* const mine = new T();
    T* other = nullptr;
    if (made_.compare_exchange_strong(other, mine, std::memory_order_acq_rel, std::memory_order_acquire)) return *mine;
    delete mine;
    return *other;
  }

  std::atomic<T*> made_{nullptr};
};

}  // namespace millrace::report
