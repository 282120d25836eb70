// Names asked of DNS servers by c-ares, without waiting: the owner polls its sockets, which are the host's.
#pragma once

#include <poll.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control-agent/discovery/name_resolver.h"
#include "dataplane/base/result.h"

struct ares_channeldata;

namespace millrace::agent {

class CaresResolver final : public NameResolver {
 public:
  /// An error says what c-ares refuses.
  [[nodiscard]] static Result<std::unique_ptr<CaresResolver>, std::string> create(const ResolverSettings& settings);
  /// Whoever still waits hears nothing more.
  ~CaresResolver() override;
  CaresResolver(const CaresResolver&) = delete;
  CaresResolver& operator=(const CaresResolver&) = delete;

  void resolve(const std::string& name, IpFamily family, Done done) override;

  /// Adds what to wait for.
  void add_descriptors(std::vector<pollfd>& out) const;
  /// How long to wait for it at most; nothing: nothing is asked.
  [[nodiscard]] std::optional<Duration> timeout() const;
  /// Reads and writes what is ready, and gives up what has waited too long.
  void process(const std::vector<pollfd>& ready);

 private:
  CaresResolver() = default;
  ares_channeldata* channel_ = nullptr;
};

}  // namespace millrace::agent
