#include "control-agent/discovery/file_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

namespace millrace::agent {
namespace {

constexpr std::size_t kEventBytes = 16 * 1024;

std::filesystem::path directory_of(const PathSource& source) {
  if (!source.watched_directory.empty()) return source.watched_directory;
  const auto parent = std::filesystem::path(source.path).parent_path();
  return parent.empty() ? "." : parent;
}

Error<std::string> refuse(const std::string& what) {
  const int error = errno;
  return Error<std::string>(
      what + ": " + std::strerror(error) +
      (error == EMFILE || error == ENOSPC ? "; raise fs.inotify.max_user_instances and fs.inotify.max_user_watches" : ""));
}

}  // namespace

Result<std::unique_ptr<FileWatch>, std::string> FileWatch::create() {
  const int descriptor = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (descriptor < 0) return refuse("files cannot be watched");
  return std::unique_ptr<FileWatch>(new FileWatch(descriptor));
}

FileWatch::~FileWatch() { close(descriptor_); }

Result<void, std::string> FileWatch::add(const PathSource& source) {
  const std::string directory = directory_of(source).string();
  const int watch = inotify_add_watch(descriptor_, directory.c_str(), IN_MOVED_TO | IN_ONLYDIR);
  if (watch < 0) return refuse("the directory \"" + directory + "\" cannot be watched");
  by_watch_[watch].insert(source);
  return {};
}

void FileWatch::remove(const PathSource& source) {
  for (auto at = by_watch_.begin(); at != by_watch_.end(); ++at) {
    if (at->second.erase(source) == 0) continue;
    if (at->second.empty()) {
      inotify_rm_watch(descriptor_, at->first);
      by_watch_.erase(at);
    }
    return;
  }
}

void FileWatch::note(int watch, const std::string& name, std::set<PathSource>& changes) const {
  const auto at = by_watch_.find(watch);
  if (at == by_watch_.end()) return;
  for (const PathSource& source : at->second) {
    if (!source.watched_directory.empty() || std::filesystem::path(source.path).filename() == name) changes.insert(source);
  }
}

std::set<PathSource> FileWatch::take_changes() {
  std::set<PathSource> changes;
  alignas(inotify_event) std::array<char, kEventBytes> buffer;
  while (true) {
    const ssize_t got = read(descriptor_, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return changes;
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      at += sizeof(inotify_event) + event->len;
      if ((event->mask & IN_Q_OVERFLOW) != 0) {  // what it was is lost: anything may have changed
        for (const auto& [watch, sources] : by_watch_) changes.insert(sources.begin(), sources.end());
      } else if (event->len > 0) {
        note(event->wd, event->name, changes);
      }
    }
  }
}

}  // namespace millrace::agent
