// Entering network namespaces; see netns.h.
#include "nic/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "dataplane/base/assert.h"

namespace millrace::nic {

Result<NetworkNamespace, std::string> NetworkNamespace::open(const std::string& name) {
  NetworkNamespace space;
  space.name_ = name;
  if (name.empty()) return space;
  const std::string path = "/run/netns/" + name;
  space.descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (space.descriptor_ >= 0) return space;
  if (errno == ENOENT)
    return Error<std::string>("network namespace \"" + name + "\" does not exist: make it with `ip netns add " + name + "`");
  return Error<std::string>("network namespace \"" + name + "\" (" + path + ") cannot be opened: " + std::strerror(errno));
}

NetworkNamespace::NetworkNamespace(NetworkNamespace&& other) noexcept
    : name_(std::move(other.name_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

NetworkNamespace& NetworkNamespace::operator=(NetworkNamespace&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

NetworkNamespace::~NetworkNamespace() {
  if (descriptor_ >= 0) close(descriptor_);
}

Result<NetworkNamespace::Scope, std::string> NetworkNamespace::enter() const {
  if (descriptor_ < 0) return Scope(-1);
  const int home = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0)
    return Error<std::string>("our own network namespace cannot be opened: " + std::string(std::strerror(errno)) +
                              "; is /proc mounted?");
  if (setns(descriptor_, CLONE_NEWNET) != 0) {
    const int error = errno;
    close(home);
    return Error<std::string>("network namespace \"" + name_ + "\" cannot be entered: " + std::strerror(error) +
                              (error == EPERM ? ": run as root or with CAP_SYS_ADMIN" : ""));
  }
  return Scope(home);
}

NetworkNamespace::Scope::Scope(Scope&& other) noexcept : home_(std::exchange(other.home_, -1)) {}

NetworkNamespace::Scope::~Scope() {
  if (home_ < 0) return;
  const int back = setns(home_, CLONE_NEWNET);
  MR_ASSERT(back == 0);
  close(home_);
}

}  // namespace millrace::nic
