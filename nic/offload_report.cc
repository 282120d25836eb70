#include "nic/offload_report.h"

#include <string>
#include <utility>

namespace millrace::nic {

std::vector<OffloadUse> offload_uses(const PortInfo& info, const OfferedOffloads& offered, bool by_cpu) {
  std::vector<OffloadUse> uses;
  const auto add = [&](const char* name, bool is_offered, bool is_used, std::string why_not) {
    if (!is_offered) why_not = "the driver does not offer it";
    uses.push_back({.name = name,
                    .offered = is_offered,
                    .where = is_used ? Place::kDevice : Place::kSoftware,
                    .reason = is_used ? std::string() : std::move(why_not)});
  };
  const std::string costs = by_cpu ? "the driver would compute it on this CPU, no cheaper than the stack does" : "";
  add("rx_ip_checksum", offered.rx_ip_checksum, info.rx_ip_checksum, costs);
  add("rx_l4_checksum", offered.rx_l4_checksum, info.rx_l4_checksum, costs);
  add("tx_ip_checksum", offered.tx.ip_checksum, info.tx.ip_checksum, costs);
  add("tx_tcp_checksum", offered.tx.tcp_checksum, info.tx.tcp_checksum, costs);
  add("tx_multi_segment", offered.tx.multi_segment, info.tx.multi_segment, costs);
  add("tx_tcp_segmentation", offered.tx.tcp_segmentation, info.tx.tcp_segmentation,
      by_cpu ? costs : "it needs TCP checksums and scatter-gather of many parts, which the device does not do");
  add("rss", offered.rss, info.rss.has_value(),
      info.queues == 1 ? "one queue is in use" : "the device does not tell its key and table, or they fit no rule of ours");
  return uses;
}

}  // namespace millrace::nic
