// A named network namespace, entered by one thread for a while. For the making and closing of kernel-backed ports only.
#pragma once

#include <string>

#include "dataplane/base/result.h"

namespace millrace::nic {

/// A namespace by `ip netns` name, kept open: it can be entered again even after its name was deleted.
class NetworkNamespace {
 public:
  /// An empty name stands for the namespace we are in: entering it does nothing.
  [[nodiscard]] static Result<NetworkNamespace, std::string> open(const std::string& name);
  NetworkNamespace() = default;
  NetworkNamespace(NetworkNamespace&& other) noexcept;
  NetworkNamespace& operator=(NetworkNamespace&& other) noexcept;
  ~NetworkNamespace();

  /// The calling thread is inside while a Scope lives, and nobody else is. Failing to come back is an assertion: a thread in
  /// the wrong namespace must not go on.
  class Scope {
   public:
    Scope(Scope&& other) noexcept;
    Scope& operator=(Scope&&) = delete;
    ~Scope();

   private:
    friend class NetworkNamespace;
    explicit Scope(int home) : home_(home) {}
    int home_;
  };
  [[nodiscard]] Result<Scope, std::string> enter() const;

 private:
  std::string name_;
  int descriptor_ = -1;
};

}  // namespace millrace::nic
