#include "control-agent/overload/overload_watcher.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <string>
#include <utility>

#include "control-agent/overload/resources.h"

namespace millrace::agent {

OverloadWatcher::OverloadWatcher(std::shared_ptr<const OverloadPlan> plan)
    : plan_(std::move(plan)), manager_(*plan_, shrink_heap), thread_([this] { run(); }) {}

OverloadWatcher::~OverloadWatcher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void OverloadWatcher::run() {
  pthread_setname_np(pthread_self(), "mr-overload");
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, plan_->interval, [this] { return stopping_; })) {
    lock.unlock();
    for (const std::string& line : manager_.refresh(OverloadManager::Clock::now())) spdlog::warn("{}", line);
    lock.lock();
  }
}

}  // namespace millrace::agent
