#include "control-agent/secrets/watched_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "config/compile/content_hash.h"

namespace millrace::agent {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
// File systems round times up to this; two changes within it may look like one.
constexpr std::int64_t kCoarsestTime = 2 * kSecond;

std::int64_t to_ns(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }

std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return to_ns(now);
}

FileIdentity identity_of(const struct stat& status) {
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .size = static_cast<std::uint64_t>(status.st_size),
          .modified_ns = to_ns(status.st_mtim),
          .changed_ns = to_ns(status.st_ctim)};
}

struct Descriptor {
  explicit Descriptor(const std::string& path) : number(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~Descriptor() {
    if (number >= 0) close(number);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  const int number;
};

Error<std::string> refuse(const std::string& path, const std::string& reason) {
  return Error<std::string>("the file \"" + path + "\" cannot be read: " + reason);
}

/// The text, and what `file` needs to notice a change. On an error `file` is one that cannot be read.
Result<std::string, std::string> read_whole(const std::string& path, WatchedFile& file) {
  file = {.path = path, .identity = {}};
  const Descriptor descriptor(path);
  struct stat status{};
  if (descriptor.number < 0 || fstat(descriptor.number, &status) != 0) {
    const int error = errno;
    return refuse(
        path, std::string(std::strerror(error)) + (error == EACCES ? "; let the gateway's user read it" : "; does it exist?"));
  }
  if (!S_ISREG(status.st_mode)) return refuse(path, "it is not a regular file");
  const FileIdentity identity = identity_of(status);
  std::string text(std::min<std::size_t>(identity.size, kMaxSecretFileBytes) + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(descriptor.number, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return refuse(path, std::strerror(errno));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  // One byte more than stat has promised: it grows while we read, or is too large.
  if (size > kMaxSecretFileBytes) return refuse(path, "it is larger than 1 MiB");
  text.resize(size);
  file.identity = identity;
  file.content = config::content_hash(text);
  file.young = std::max(identity.modified_ns, identity.changed_ns) + kCoarsestTime > now_ns();
  return text;
}

}  // namespace

Result<std::string, std::string> FileReader::read(const std::string& path) {
  WatchedFile file;
  auto text = read_whole(path, file);
  const auto known = std::ranges::find(files_, path, &WatchedFile::path);
  if (known == files_.end()) {
    files_.push_back(std::move(file));
  } else {
    *known = std::move(file);
  }
  return text;
}

bool changed(WatchedFile& file) {
  struct stat status{};
  const bool there = stat(file.path.c_str(), &status) == 0;
  if (!there && !file.identity) return false;
  if (there && file.identity == identity_of(status) && !file.young) return false;
  WatchedFile now;
  const bool readable = read_whole(file.path, now).has_value();
  if (readable != file.identity.has_value() || now.content != file.content) return true;
  file = std::move(now);
  return false;
}

}  // namespace millrace::agent
