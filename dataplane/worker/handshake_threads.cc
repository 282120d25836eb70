#include "dataplane/worker/handshake_threads.h"

#include <pthread.h>

#include <mutex>
#include <string>
#include <utility>

#include "dataplane/base/assert.h"
#include "dataplane/base/spsc_ring.h"
#include "dataplane/secure/tls_layer.h"

namespace millrace::worker {

using secure::HandshakeStep;

/// One worker's side. The threads take turns at their end of each ring; the worker has the other end for itself.
class HandshakeThreads::Runner final : public secure::HandshakeRunner {
 public:
  explicit Runner(std::atomic<std::uint32_t>& posted) : posted_(posted) {}

  void start(std::unique_ptr<HandshakeStep> step) override {
    const bool room = orders_.put(std::move(step));
    MR_ASSERT(room);
    orders_.publish();
    posted_.fetch_add(1, std::memory_order_release);
    posted_.notify_one();
  }
  [[nodiscard]] std::unique_ptr<HandshakeStep> finished() override { return take(done_); }
  [[nodiscard]] bool runs_here() const override { return false; }

  // On one of the threads.
  [[nodiscard]] std::unique_ptr<HandshakeStep> take_order() {
    const std::scoped_lock lock(take_mutex_);
    return take(orders_);
  }
  void finish(std::unique_ptr<HandshakeStep> step) {
    const std::scoped_lock lock(finish_mutex_);
    const bool room = done_.put(std::move(step));
    MR_ASSERT(room);
    done_.publish();
  }

 private:
  using Ring = SpscRing<std::unique_ptr<HandshakeStep>>;

  static std::unique_ptr<HandshakeStep> take(Ring& ring) {
    std::unique_ptr<HandshakeStep>* front = ring.front();
    if (front == nullptr) return nullptr;
    std::unique_ptr<HandshakeStep> step = std::move(*front);
    ring.drop_front();
    return step;
  }

  std::atomic<std::uint32_t>& posted_;
  Ring orders_{secure::TlsLayer::kMostSteps};
  Ring done_{secure::TlsLayer::kMostSteps};
  std::mutex take_mutex_;
  std::mutex finish_mutex_;
};

HandshakeThreads::HandshakeThreads(std::size_t threads, std::size_t workers) {
  MR_ASSERT(threads > 0);
  for (std::size_t i = 0; i < workers; ++i) runners_.push_back(std::make_unique<Runner>(posted_));
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this, i] { run(i); });
}

HandshakeThreads::~HandshakeThreads() {
  stopping_.store(true, std::memory_order_relaxed);
  posted_.fetch_add(1, std::memory_order_release);
  posted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

secure::HandshakeRunner& HandshakeThreads::runner(std::size_t worker) { return *runners_[worker]; }

void HandshakeThreads::run(std::size_t index) {
  pthread_setname_np(pthread_self(), ("mr-tls-" + std::to_string(index)).c_str());
  for (;;) {
    const std::uint32_t seen = posted_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    if (!run_one(index)) posted_.wait(seen, std::memory_order_acquire);
  }
}

// Workers in turn, each thread from another one on.
bool HandshakeThreads::run_one(std::size_t index) {
  bool found = false;
  for (std::size_t i = 0; i < runners_.size(); ++i) {
    Runner& runner = *runners_[(index + i) % runners_.size()];
    std::unique_ptr<HandshakeStep> step = runner.take_order();
    if (step == nullptr) continue;
    found = true;
    step->run();
    runner.finish(std::move(step));
  }
  return found;
}

}  // namespace millrace::worker
