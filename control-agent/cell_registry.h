// Makes report cells and hands the same one out again for the same name, so that counters, and the ids by which workers index
// their pools, outlive every snapshot. A cell lives as long as the registry.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dataplane/report/cells.h"
#include "dataplane/report/overload.h"

namespace millrace::agent {

/// Cells of one kind. Any thread may call; ids count up from 0 and are never given twice.
template <typename Cell>
class CellTable {
 public:
  explicit CellTable(std::size_t workers) : workers_(workers) {}

  [[nodiscard]] std::shared_ptr<Cell> get(const std::string& name) {
    const std::scoped_lock lock(mutex_);
    if (const auto at = by_name_.find(name); at != by_name_.end()) return all_[at->second];
    const auto& cell = all_.emplace_back(std::make_shared<Cell>(static_cast<std::uint32_t>(all_.size()), name, workers_));
    by_name_.emplace(cell->name, cell->id);
    return cell;
  }
  /// In the order of their ids.
  [[nodiscard]] std::vector<std::shared_ptr<Cell>> all() const {
    const std::scoped_lock lock(mutex_);
    return all_;
  }

 private:
  const std::size_t workers_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string_view, std::uint32_t> by_name_;  // names are the cells' own
  std::vector<std::shared_ptr<Cell>> all_;                       // by id
};

/// Cells of endpoints: a hundred thousand of them are nothing unusual. As CellTable, but for names, which they have not.
class EndpointCellTable {
 public:
  explicit EndpointCellTable(std::size_t workers) : workers_(workers), slots_(kFewest) {}

  [[nodiscard]] std::shared_ptr<report::EndpointCell> get(const report::EndpointKey& key);

 private:
  static constexpr std::size_t kFewest = 64;

  [[nodiscard]] std::uint32_t& slot_of(const report::EndpointKey& key);
  void grow();

  const std::size_t workers_;
  std::mutex mutex_;
  std::vector<std::uint32_t> slots_;  // hash table by key: id and 1; 0: free. A power of two of them
  // By id, beside each other: who has one has a part in all of them, and none has an allocation of its own.
  const std::shared_ptr<std::deque<report::EndpointCell>> all_ = std::make_shared<std::deque<report::EndpointCell>>();
};

struct CellRegistry {
  explicit CellRegistry(std::size_t workers)
      : listeners(workers),
        inspectors(workers),
        http(workers),
        tcp(workers),
        proxy_protocols(workers),
        connection_limits(workers),
        connection_totals(workers),
        network_rate_limits(workers),
        rbac(workers),
        clusters(workers),
        endpoints(workers),
        compressors(workers),
        decompressors(workers),
        local_rate_limits(workers),
        bandwidth_limits(workers),
        byte_rates(workers),
        token_buckets(workers) {}

  CellTable<report::ListenerCell> listeners;                    ///< by stat_prefix, else by address: "0.0.0.0_80"
  CellTable<report::InspectorCell> inspectors;                  ///< one, "inspectors"
  CellTable<report::HttpCell> http;                             ///< by stat_prefix
  CellTable<report::TcpCell> tcp;                               ///< by stat_prefix
  CellTable<report::ProxyProtocolCell> proxy_protocols;         ///< by stat_prefix
  CellTable<report::ConnectionLimitCell> connection_limits;     ///< by stat_prefix
  CellTable<report::ConnectionTotalCell> connection_totals;     ///< by place in the configuration
  CellTable<report::NetworkRateLimitCell> network_rate_limits;  ///< by stat_prefix
  CellTable<report::RbacCell> rbac;                             ///< by prefix: "http.ingress.rbac."
  CellTable<report::ClusterCell> clusters;                      ///< by name (not alt_stat_name: ids must not be shared)
  EndpointCellTable endpoints;                                  ///< by cluster and address
  CellTable<report::CompressorCell> compressors;                ///< by connection manager and library
  CellTable<report::DecompressorCell> decompressors;            ///< by connection manager and library
  CellTable<report::LocalRateLimitCell> local_rate_limits;      ///< by stat_prefix
  CellTable<report::BandwidthLimitCell> bandwidth_limits;       ///< by stat_prefix
  CellTable<report::ByteRateCell> byte_rates;                   ///< by place in the configuration, and limit
  CellTable<report::TokenBucketCell> token_buckets;             ///< by place in the configuration, and limits
  std::shared_ptr<report::OverloadCell> overload;               ///< null: there is no overload manager. For who loads alone
};

}  // namespace millrace::agent
