#include "dataplane/worker/handshake_threads.h"

#include <pthread.h>

#include <string>
#include <utility>

#include "dataplane/base/assert.h"

namespace millrace::worker {

using secure::HandshakeStep;

/// One worker's side.
class HandshakeThreads::Runner final : public secure::HandshakeRunner {
 public:
  explicit Runner(HandshakeThreads& threads) : threads_(threads) {}

  void start(std::unique_ptr<HandshakeStep> step) override { threads_.post({this, std::move(step)}); }
  [[nodiscard]] std::unique_ptr<HandshakeStep> finished() override {
    if (!any_.load(std::memory_order_acquire)) return nullptr;
    const std::scoped_lock lock(mutex_);
    std::unique_ptr<HandshakeStep> step = std::move(done_.front());
    done_.pop_front();
    any_.store(!done_.empty(), std::memory_order_relaxed);
    return step;
  }
  [[nodiscard]] bool runs_here() const override { return false; }

  // On one of the threads.
  void finish(std::unique_ptr<HandshakeStep> step) {
    const std::scoped_lock lock(mutex_);
    done_.push_back(std::move(step));
    any_.store(true, std::memory_order_release);
  }

 private:
  HandshakeThreads& threads_;
  std::atomic<bool> any_{false};
  std::mutex mutex_;
  std::deque<std::unique_ptr<HandshakeStep>> done_;
};

HandshakeThreads::HandshakeThreads(std::size_t threads, std::size_t workers) {
  MR_ASSERT(threads > 0);
  for (std::size_t i = 0; i < workers; ++i) runners_.push_back(std::make_unique<Runner>(*this));
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this, i] { run(i); });
}

HandshakeThreads::~HandshakeThreads() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

secure::HandshakeRunner& HandshakeThreads::runner(std::size_t worker) { return *runners_[worker]; }

void HandshakeThreads::post(Order order) {
  {
    const std::scoped_lock lock(mutex_);
    orders_.push_back(std::move(order));
  }
  wanted_.notify_one();
}

void HandshakeThreads::run(std::size_t index) {
  pthread_setname_np(pthread_self(), ("mr-tls-" + std::to_string(index)).c_str());
  for (;;) {
    Order order;
    {
      std::unique_lock lock(mutex_);
      wanted_.wait(lock, [this] { return stopping_ || !orders_.empty(); });
      if (stopping_) return;
      order = std::move(orders_.front());
      orders_.pop_front();
    }
    if (!order.step->gone.load(std::memory_order_relaxed))
      order.step->status = order.step->handshake->run(order.step->input, order.step->ended);
    order.from->finish(std::move(order.step));
  }
}

}  // namespace millrace::worker
