// A health check over TCP (or TLS): that a connection can be made, or that what is sent on it is answered as expected.
#pragma once

#include "dataplane/proxy/health/expected_reader.h"
#include "dataplane/proxy/health_probe.h"

namespace millrace::proxy {

class TcpProbe final : public HealthProbe {
 public:
  TcpProbe(HealthWatch& watch, const config::Endpoint& endpoint);

 private:
  void say(Instant now) override;
  [[nodiscard]] bool hear(stream::Chain& input, Instant now) override;
  void hear_end(Instant) override {}
  [[nodiscard]] stream::Chain& output() override { return output_; }
  [[nodiscard]] bool can_go_on() override { return !settings().receive.empty() && output_.empty(); }
  void forget() override { output_.clear(); }

  [[nodiscard]] const config::TcpHealthCheck& settings() const {
    return *std::get_if<config::TcpHealthCheck>(&watch().settings().check);
  }

  stream::Chain output_;
  ExpectedReader reader_;
};

}  // namespace millrace::proxy
