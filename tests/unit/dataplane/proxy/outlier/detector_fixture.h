// The fixture of the detector's tests: algorithms as Envoy's documentation tells them (intro/arch_overview/upstream/outlier),
// over the cells of a cluster.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "dataplane/proxy/outlier/detector.h"

namespace millrace::proxy::test {

using config::OutlierDetection;
using report::EndpointCell;
using report::EndpointFault;

inline constexpr auto kSecond = Duration::seconds(1);

/// A cluster whose endpoints may all be ejected, as two workers see it.
class Detection : public testing::Test {
 protected:
  static constexpr std::size_t kWorkers = 2;

  void start(const OutlierDetection& settings, std::size_t endpoints = 10) {
    cluster.outlier_detection = settings;
    cluster.cell = std::make_shared<report::ClusterCell>(0, "app", kWorkers);
    for (std::size_t i = 0; i < endpoints; ++i) {
      config::Endpoint endpoint;
      endpoint.cell = std::make_shared<EndpointCell>(static_cast<std::uint32_t>(i), kWorkers);
      cluster.endpoints.push_back(std::move(endpoint));
    }
    first = std::make_unique<OutlierDetector>(cluster, 0, rng);
    second = std::make_unique<OutlierDetector>(cluster, 1, rng);
  }
  static OutlierDetection all_may_go() {
    OutlierDetection settings;
    settings.max_ejection_percent = 100;
    return settings;
  }

  EndpointCell& cell(std::size_t index = 0) { return *cluster.endpoints[index].cell; }
  bool ejected(std::size_t index = 0) { return cell(index).has(EndpointFault::kEjected); }
  std::size_t count_ejected() {
    std::size_t count = 0;
    for (std::size_t i = 0; i < cluster.endpoints.size(); ++i) count += ejected(i) ? 1 : 0;
    EXPECT_EQ(count, cluster.cell->outlier.get().ejected.load());
    return count;
  }
  void answer(std::uint16_t status, int times = 1, std::size_t index = 0) {
    for (int i = 0; i < times; ++i) first->on_status(cell(index), status, now);
  }
  void fail(LocalFailure failure, int times = 1, std::size_t index = 0) {
    for (int i = 0; i < times; ++i) first->on_failure(cell(index), failure, now);
  }
  void sweep_after(Duration time) {
    now = now + time;
    ASSERT_TRUE(first->sweep(now));
  }
  /// What an interval brings to endpoint `index`: `good` of a hundred requests are answered well.
  void serve(std::size_t index, int good, int requests = 100) {
    // In an order without runs of five failures.
    int done = 0;
    for (int i = 0; i < requests; ++i) {
      const bool succeeds = done * requests < good * (i + 1);
      done += succeeds ? 1 : 0;
      (i % 2 == 0 ? first : second)->on_status(cell(index), succeeds ? 200 : 500, now);
    }
  }
  report::OutlierStats& stats(std::size_t worker = 0) { return cluster.cell->per_worker[worker].outlier; }

  Instant now = Instant::from_nanoseconds(1'000'000'000);
  Rng rng{7};
  config::Cluster cluster;
  std::unique_ptr<OutlierDetector> first;
  std::unique_ptr<OutlierDetector> second;
};

inline OutlierDetection split() {
  OutlierDetection settings;
  settings.max_ejection_percent = 100;
  settings.split_external_local_origin_errors = true;
  return settings;
}

}  // namespace millrace::proxy::test
