#include "control-agent/discovery/name_thread.h"

#include <poll.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <vector>

namespace millrace::agent {
namespace {

Instant now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return Instant::from_nanoseconds(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

void signal_event(int descriptor) {
  const std::uint64_t one = 1;
  while (write(descriptor, &one, sizeof one) < 0) continue;
}

/// For poll: rounded up, so that nothing is early; at most a minute.
int to_milliseconds(Duration wait) { return static_cast<int>(std::clamp<std::int64_t>(wait.to_milliseconds() + 1, 0, 60'000)); }

}  // namespace

NameThread::NameThread(SnapshotPublisher& publisher, RoutableFamilies routable, std::uint64_t seed)
    : publisher_(publisher),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      discovery_(publisher, [this](const ResolverSettings& settings) { return resolver(settings); }, routable, seed) {
  publisher_.on_change(this, [descriptor = wake_] { signal_event(descriptor); });
  thread_ = std::thread([this] { run(); });
}

NameThread::~NameThread() {
  publisher_.on_change(this, nullptr);
  stopping_ = true;
  signal_event(wake_);
  thread_.join();
  close(wake_);
}

NameResolver* NameThread::resolver(const ResolverSettings& settings) {
  const auto [at, added] = resolvers_.try_emplace(settings);
  if (!added) return at->second.get();
  auto made = CaresResolver::create(settings);
  if (made) {
    at->second = std::move(*made);
  } else {
    spdlog::error("discovery: {}", made.error());
  }
  return at->second.get();
}

void NameThread::wait() {
  std::vector<pollfd> waiting{{.fd = wake_, .events = POLLIN, .revents = 0}};
  Instant until = discovery_.next_timeout();
  const Instant start = now();
  for (const auto& [settings, one] : resolvers_) {
    if (one == nullptr) continue;
    one->add_descriptors(waiting);
    if (const auto left = one->timeout()) until = std::min(until, start + *left);
  }
  poll(waiting.data(), waiting.size(), until.is_never() ? -1 : to_milliseconds(until - start));
  if (std::uint64_t count = 0; waiting[0].revents != 0 && read(wake_, &count, sizeof count) < 0) return;
  waiting.erase(waiting.begin());
  for (const auto& [settings, one] : resolvers_) {
    if (one != nullptr) one->process(waiting);
  }
}

void NameThread::run() {
  pthread_setname_np(pthread_self(), "mr-dns");
  while (!stopping_) {
    discovery_.service(now());
    wait();
  }
}

}  // namespace millrace::agent
