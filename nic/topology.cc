// The machine's topology from hwloc, and pinning; see placement.h.
#include <hwloc.h>
#include <pthread.h>
#include <sched.h>

#include <cstring>
#include <memory>

#include "nic/placement.h"

namespace millrace::nic {
namespace {

struct DestroyTopology {
  void operator()(hwloc_topology* topology) const { hwloc_topology_destroy(topology); }
};

}  // namespace

Result<Topology, std::string> load_topology() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return Error<std::string>("hwloc cannot be started: out of memory?");
  const std::unique_ptr<hwloc_topology, DestroyTopology> owner(raw);
  if (hwloc_topology_load(raw) != 0) {
    return Error<std::string>("hwloc cannot read this machine's topology: " + std::string(std::strerror(errno)) +
                              "; is /sys mounted?");
  }
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) {
    return Error<std::string>("the CPU affinity mask cannot be read: " + std::string(std::strerror(errno)));
  }

  Topology topology;
  for (hwloc_obj_t pu = hwloc_get_next_obj_by_type(raw, HWLOC_OBJ_PU, nullptr); pu != nullptr;
       pu = hwloc_get_next_obj_by_type(raw, HWLOC_OBJ_PU, pu)) {
    const hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(raw, HWLOC_OBJ_CORE, pu);
    const hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(raw, HWLOC_OBJ_PACKAGE, pu);
    const int node = pu->nodeset == nullptr ? -1 : hwloc_bitmap_first(pu->nodeset);
    topology.cpus.push_back({.id = static_cast<int>(pu->os_index),
                             .core = static_cast<int>(core == nullptr ? pu->logical_index : core->logical_index),
                             .numa_node = node < 0 ? 0 : node,
                             .package = static_cast<int>(package == nullptr ? 0 : package->logical_index),
                             .allowed = pu->os_index < CPU_SETSIZE && CPU_ISSET(pu->os_index, &mask)});
  }
  return topology;
}

Result<void, std::string> bind_current_thread(std::span<const int> cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::string names;
  for (const int cpu : cpus) {
    if (cpu < 0 || cpu >= CPU_SETSIZE) return Error<std::string>("CPU " + std::to_string(cpu) + " does not exist");
    CPU_SET(static_cast<std::size_t>(cpu), &set);
    names += (names.empty() ? "" : ", ") + std::to_string(cpu);
  }
  if (const int error = pthread_setaffinity_np(pthread_self(), sizeof(set), &set); error != 0) {
    return Error<std::string>("a thread cannot be bound to CPU " + names + ": " + std::strerror(error));
  }
  return {};
}

}  // namespace millrace::nic
