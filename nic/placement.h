// Which CPU each worker runs on: nearest to the port it serves, a physical core of its own while there are enough, never the
// agent's. A pure function over a plain Topology (tests invent machines) and a loader that asks hwloc.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/result.h"

namespace millrace::nic {

/// The machine as placement sees it.
struct Topology {
  struct Cpu {
    int id = 0;         ///< the operating system's number of the hardware thread
    int core = 0;       ///< physical core, unique in the machine
    int numa_node = 0;  ///< the operating system's number
    int package = 0;
    bool allowed = true;  ///< in the process's affinity mask
  };
  std::vector<Cpu> cpus;

  [[nodiscard]] const Cpu* find(int id) const;
  [[nodiscard]] std::size_t allowed_cpus() const;
};

struct PlacementRequest {
  std::size_t workers = 1;             ///< at least 1
  std::vector<int> port_numa_nodes{};  ///< one per port, -1 unknown; worker i is placed by number i modulo their count
  int agent_cpu = -1;                  ///< -1: placement chooses one, far from the ports
};

struct Placement {
  std::vector<int> worker_cpus;  ///< by worker
  std::vector<int> worker_numa_nodes;
  int agent_cpu = 0;
  /// For all threads but the workers: CPUs on cores without a worker; where there are none, CPUs without one; else all that are
  /// allowed. Never empty.
  std::vector<int> other_cpus;
  /// There were too few CPUs: workers share one, with each other or with the agent. The caller warns and forces ADAPTIVE.
  bool shared = false;
  std::string warning;  ///< what to tell the operator when `shared`, else empty
};

/// Each worker takes the best CPU left: first by whether its physical core is still free, then by distance to the port (same
/// node, same package, elsewhere), then by number. A free core on the far node comes before the second thread of a busy near one,
/// which costs more. The agent's core comes last, the agent's own CPU only when there is no other. Fails if no CPU is allowed, or
/// if agent_cpu is not one of them.
[[nodiscard]] Result<Placement, std::string> place_workers(const Topology& topology, const PlacementRequest& request);

/// This machine, by hwloc; `allowed` by the calling thread's affinity mask (call it before anything is pinned).
[[nodiscard]] Result<Topology, std::string> load_topology();

/// Where the calling thread may run from now on, and those that it starts. At least one CPU.
[[nodiscard]] Result<void, std::string> bind_current_thread(std::span<const int> cpus);

}  // namespace millrace::nic
