#include "control-agent/last_good/last_good_keeper.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "control-agent/last_good/last_good_file.h"

namespace millrace::agent {
namespace {

// A push changes the world in several steps: the file follows when nothing has come for a while, and in a flood now and then.
constexpr std::chrono::milliseconds kQuiet{500};
constexpr std::chrono::seconds kLongestWait{5};
// Of the thread's time no more than one part in this many goes into writing: large worlds are written more rarely.
constexpr int kWriteShare = 20;
constexpr std::chrono::seconds kRetry{1};  // what runs is not complete yet

}  // namespace

LastGoodKeeper::LastGoodKeeper(LastGoodPlan plan, SnapshotPublisher& publisher, const DiscoveredSecrets& secrets,
                               std::function<bool()> is_complete)
    : plan_(std::move(plan)), publisher_(publisher), secrets_(secrets), is_complete_(std::move(is_complete)) {
  publisher_.on_change(this, [this] {
    {
      const std::lock_guard lock(mutex_);
      ++changes_;
    }
    wake_.notify_one();
  });
  thread_ = std::thread([this] { run(); });
}

LastGoodKeeper::~LastGoodKeeper() {
  publisher_.on_change(this, nullptr);
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

LastGoodStats LastGoodKeeper::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void LastGoodKeeper::run() {
  pthread_setname_np(pthread_self(), "mr-snapshot");
  std::uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait(lock, [&] { return stopping_ || changes_ != seen; });
    const auto latest = Clock::now() + kLongestWait;
    for (std::uint64_t last = 0; last != changes_ && !stopping_ && Clock::now() < latest;) {
      last = changes_;
      wake_.wait_for(lock, kQuiet, [&] { return stopping_ || changes_ != last; });
    }
    seen = changes_;
    lock.unlock();
    const bool complete = is_complete_();
    const auto begin = Clock::now();
    if (complete) write();
    const auto pause = std::max<Clock::duration>((Clock::now() - begin) * kWriteShare, complete ? Clock::duration() : kRetry);
    lock.lock();
    if (!complete) seen = 0;
    wake_.wait_for(lock, pause, [&] { return stopping_; });
  }
  const bool is_behind = seen != changes_;
  lock.unlock();
  if (is_behind && is_complete_()) write();
}

void LastGoodKeeper::write() {
  CollectedGood good = collect_last_good(*publisher_.world(), secrets_, plan_.with_private_data);
  good.last_good.node_id = plan_.node_id;
  good.last_good.node_cluster = plan_.node_cluster;
  const std::string bytes = encode_last_good(good.last_good);
  const std::string header = bytes.substr(0, bytes.find('\n'));
  if (header == written_) return;
  const auto done = write_last_good(plan_.path, bytes);
  if (!done) {
    spdlog::error("snapshot: {}: the configuration of now is not kept; it is tried again with the next change", done.error());
  } else {
    spdlog::info("snapshot: {} keeps {} resources, {} bytes", plan_.path, good.last_good.resources(), bytes.size());
    written_ = header;
  }
  for (const std::string& name : good.left_out) {
    if (good.left_out.size() != left_out_)
      spdlog::warn("snapshot: {} holds private data and is not kept: --snapshot-secrets keeps it, too", name);
  }
  left_out_ = good.left_out.size();
  const std::lock_guard lock(mutex_);
  done ? ++stats_.written : ++stats_.failed;
  if (!done) return;
  stats_.resources = good.last_good.resources();
  stats_.bytes = bytes.size();
  stats_.left_out = good.left_out.size();
}

}  // namespace millrace::agent
