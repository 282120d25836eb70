// The proxy's harness with a TCP proxy as its only chain.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {

using ChangeTcp = std::function<void(config::TcpProxy&, config::Listener&, config::Cluster&)>;

class Through {
 public:
  explicit Through(const ChangeTcp& change = {}) {
    proxy.emplace([&](config::Listener& listener, config::Cluster& cluster, config::Route&) {
      config::TcpProxy through;
      through.stat_prefix = "through";
      through.clusters = {{.name = "origin", .weight = 1}};
      through.total_weight = 1;
      through.cell = cell_;
      through.access_logs = listener.chains[0].http()->access_logs;
      if (change) change(through, listener, cluster);
      listener.chains[0].filter = through;
    });
  }
  ~Through() {
    proxy.reset();
    EXPECT_EQ(stats().downstream_cx_rx_bytes_buffered.value(), 0);
    EXPECT_EQ(stats().downstream_cx_tx_bytes_buffered.value(), 0);
  }

  ProxyHarness* operator->() { return &*proxy; }
  report::TcpStats& stats() { return cell_->per_worker[0]; }
  Origin& origin() { return proxy->origin(); }

  std::optional<ProxyHarness> proxy;

 private:
  std::shared_ptr<report::TcpCell> cell_ = std::make_shared<report::TcpCell>(0, "through", 1);
};

}  // namespace millrace::proxy::test
