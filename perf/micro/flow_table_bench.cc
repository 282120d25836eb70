// Finding the connection of a segment by its four-tuple.
#include "dataplane/tcp/flow_table.h"

#include <deque>

#include "dataplane/base/rng.h"
#include "perf/micro/allocations.h"

namespace millrace::perf {
namespace {

tcp::FlowKey flow(std::uint32_t number) {
  return {IpAddress::v4(198, 18, 0, 2), IpAddress::v4(10, static_cast<std::uint8_t>(number >> 24), 0, 1), 80,
          static_cast<std::uint16_t>(number)};
}

// Of many flows, in no order that a prefetcher could follow: each lookup is a cache miss once they are more than the cache holds.
void flow_lookup(benchmark::State& state) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  tcp::FlowTable table(flows, tcp::KeyedHash({1, 2, 3}));
  std::deque<tcp::FlowEntry> entries;
  for (std::uint32_t i = 0; i < flows; ++i) {
    const std::uint32_t number = (i / 60'000) << 24 | i % 60'000;
    table.insert(entries.emplace_back(tcp::FlowEntry::Kind::kEndpoint, flow(number)));
  }
  Rng rng(1);
  const AllocationColumn column(state);
  for (auto _ : state) benchmark::DoNotOptimize(table.find(entries[rng.below(flows)].key));
}
BENCHMARK(flow_lookup)->Arg(64)->Arg(10'000)->Arg(1'000'000);

void flow_lookup_of_a_stranger(benchmark::State& state) {
  tcp::FlowTable table(10'000, tcp::KeyedHash({1, 2, 3}));
  std::deque<tcp::FlowEntry> entries;
  for (std::uint32_t i = 0; i < 10'000; ++i) table.insert(entries.emplace_back(tcp::FlowEntry::Kind::kEndpoint, flow(i)));
  Rng rng(1);
  const AllocationColumn column(state);
  for (auto _ : state) benchmark::DoNotOptimize(table.find(flow(20'000 + rng.below(10'000))));
}
BENCHMARK(flow_lookup_of_a_stranger);

}  // namespace
}  // namespace millrace::perf
