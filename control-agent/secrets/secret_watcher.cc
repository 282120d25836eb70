#include "control-agent/secrets/secret_watcher.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <string>
#include <utility>

namespace millrace::agent {
namespace {

constexpr std::chrono::seconds kInterval{1};

std::string describe(const tls::Context& context) {
  std::string text;
  for (const tls::CertificateFacts& leaf : context.certificates()) {
    text += (text.empty() ? "certificate " : ", ") + leaf.serial + " of " + leaf.subject;
  }
  return text.empty() ? std::to_string(context.authorities().size()) + " trusted authorities" : text;
}

void log(const SecretChange& change) {
  if (change.error.empty()) {
    spdlog::info("tls: {}: its files have changed: new handshakes use {}", change.name, describe(*change.context));
  } else {
    spdlog::warn("tls: {}: its files have changed, and are refused: {}; what was there before stays in use", change.name,
                 change.error);
  }
}

}  // namespace

SecretWatcher::SecretWatcher(std::shared_ptr<SecretStore> store) : store_(std::move(store)), thread_([this] { run(); }) {}

SecretWatcher::~SecretWatcher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void SecretWatcher::run() {
  pthread_setname_np(pthread_self(), "mr-secrets");
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kInterval, [this] { return stopping_; })) {
    lock.unlock();
    for (const SecretChange& change : store_->refresh()) log(change);
    lock.lock();
  }
}

}  // namespace millrace::agent
