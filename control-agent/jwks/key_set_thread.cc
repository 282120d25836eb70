#include "control-agent/jwks/key_set_thread.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

namespace millrace::agent {
namespace {

Instant now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return Instant::from_nanoseconds(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

void log(const KeySetReport& report) {
  for (const std::string& reason : report.left_out) spdlog::warn("jwks: {}: a key is left out: {}", report.uri, reason);
  if (report.error.empty()) {
    spdlog::info("jwks: {}: {} keys are in use", report.uri, report.keys);
  } else if (report.keys > 0) {
    spdlog::warn("jwks: {}: cannot be fetched: {}; the last {} keys stay in use", report.uri, report.error, report.keys);
  } else {
    spdlog::warn("jwks: {}: cannot be fetched: {}; tokens of its issuer are refused until it can", report.uri, report.error);
  }
}

}  // namespace

KeySetThread::KeySetThread(std::shared_ptr<KeySetStore> store, SnapshotPublisher& publisher, std::uint64_t seed)
    : store_(std::move(store)), publisher_(publisher), fetcher_(*store_, publisher, client_, seed) {
  publisher_.on_change(this, [this] { client_.wake(); });
  thread_ = std::thread([this] { run(); });
}

KeySetThread::~KeySetThread() {
  publisher_.on_change(this, nullptr);
  stopping_ = true;
  client_.wake();
  thread_.join();
}

void KeySetThread::run() {
  pthread_setname_np(pthread_self(), "mr-jwks");
  while (!stopping_) {
    for (const KeySetReport& report : fetcher_.service(now())) log(report);
    const Instant next = fetcher_.next_timeout();
    // Rounded up, so that nothing is early.
    client_.wait(next.is_never() ? Duration::infinite() : next - now() + Duration::milliseconds(1));
  }
}

}  // namespace millrace::agent
