// The internet checksum over one segment (RFC 1071).
#include "dataplane/wire/checksum.h"

#include <vector>

#include "perf/micro/allocations.h"

namespace millrace::perf {

namespace {

void checksum(benchmark::State& state) {
  const std::vector<std::uint8_t> bytes(static_cast<std::size_t>(state.range(0)), 0x5a);
  const AllocationColumn column(state);
  for (auto _ : state) benchmark::DoNotOptimize(wire::checksum_finish(wire::checksum_add(0, bytes)));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(checksum)->Arg(64)->Arg(1460)->Arg(8960);

}  // namespace
}  // namespace millrace::perf
