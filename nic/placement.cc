// The choice of CPUs; see placement.h. What asks hwloc and the kernel is in topology.cc.
#include "nic/placement.h"

#include <algorithm>
#include <tuple>

namespace millrace::nic {
namespace {

using Cpu = Topology::Cpu;

/// 0 on the node, 1 in its package, 2 elsewhere; an unknown node is as near as any.
int distance(const Topology& topology, const Cpu& cpu, int numa_node) {
  if (numa_node < 0 || cpu.numa_node == numa_node) return 0;
  const auto same_package = [&](const Cpu& other) { return other.numa_node == numa_node && other.package == cpu.package; };
  return std::any_of(topology.cpus.begin(), topology.cpus.end(), same_package) ? 1 : 2;
}

/// The agent's CPU: far from every port, so that near ones are left to workers; then the lowest number.
const Cpu* choose_agent(const Topology& topology, const PlacementRequest& request) {
  const Cpu* best = nullptr;
  int best_distance = -1;
  for (const Cpu& cpu : topology.cpus) {
    if (!cpu.allowed) continue;
    int nearest = request.port_numa_nodes.empty() ? 0 : 2;
    for (const int node : request.port_numa_nodes) nearest = std::min(nearest, distance(topology, cpu, node));
    if (nearest > best_distance || (nearest == best_distance && cpu.id < best->id)) {
      best = &cpu;
      best_distance = nearest;
    }
  }
  return best;
}

/// How often each CPU and each physical core is taken already.
class Load {
 public:
  void add(const Cpu& cpu) { taken_.push_back(&cpu); }
  [[nodiscard]] std::ptrdiff_t on_cpu(const Cpu& cpu) const {
    return std::count_if(taken_.begin(), taken_.end(), [&](const Cpu* other) { return other->id == cpu.id; });
  }
  [[nodiscard]] std::ptrdiff_t on_core(const Cpu& cpu) const {
    return std::count_if(taken_.begin(), taken_.end(), [&](const Cpu* other) { return other->core == cpu.core; });
  }

 private:
  std::vector<const Cpu*> taken_;
};

std::vector<int> cpus_of_the_others(const Topology& topology, const Load& workers) {
  std::vector<int> on_free_cores;
  std::vector<int> free;
  std::vector<int> allowed;
  for (const Cpu& cpu : topology.cpus) {
    if (!cpu.allowed) continue;
    allowed.push_back(cpu.id);
    if (workers.on_cpu(cpu) == 0) free.push_back(cpu.id);
    if (workers.on_core(cpu) == 0) on_free_cores.push_back(cpu.id);
  }
  if (!on_free_cores.empty()) return on_free_cores;
  return free.empty() ? allowed : free;
}

}  // namespace

const Topology::Cpu* Topology::find(int id) const {
  const auto found = std::find_if(cpus.begin(), cpus.end(), [id](const Cpu& cpu) { return cpu.id == id; });
  return found == cpus.end() ? nullptr : &*found;
}

std::size_t Topology::allowed_cpus() const {
  return static_cast<std::size_t>(std::count_if(cpus.begin(), cpus.end(), [](const Cpu& cpu) { return cpu.allowed; }));
}

Result<Placement, std::string> place_workers(const Topology& topology, const PlacementRequest& request) {
  const Cpu* agent = request.agent_cpu >= 0 ? topology.find(request.agent_cpu) : choose_agent(topology, request);
  if (agent == nullptr || !agent->allowed) {
    if (request.agent_cpu < 0)
      return Error<std::string>("this process may not run on any CPU of this machine: check its affinity mask");
    return Error<std::string>("the agent's CPU " + std::to_string(request.agent_cpu) +
                              " does not exist or is outside this process's affinity mask");
  }

  Placement placement;
  placement.agent_cpu = agent->id;
  Load load;
  for (std::size_t worker = 0; worker < request.workers; ++worker) {
    const int node = request.port_numa_nodes.empty() ? -1 : request.port_numa_nodes[worker % request.port_numa_nodes.size()];
    const auto cost = [&](const Cpu& cpu) {
      return std::tuple(load.on_cpu(cpu), cpu.id == agent->id, load.on_core(cpu), cpu.core == agent->core,
                        distance(topology, cpu, node), cpu.id);
    };
    const Cpu* best = nullptr;
    for (const Cpu& cpu : topology.cpus) {
      if (cpu.allowed && (best == nullptr || cost(cpu) < cost(*best))) best = &cpu;
    }
    if (best->id == agent->id || load.on_cpu(*best) > 0) placement.shared = true;
    load.add(*best);
    placement.worker_cpus.push_back(best->id);
    placement.worker_numa_nodes.push_back(best->numa_node);
  }
  placement.other_cpus = cpus_of_the_others(topology, load);
  if (placement.shared) {
    placement.warning = std::to_string(request.workers) + " workers and the agent want " + std::to_string(request.workers + 1) +
                        " CPUs, but this process may use " + std::to_string(topology.allowed_cpus()) +
                        ": some are shared, and workers sleep when idle (ADAPTIVE)";
  }
  return placement;
}

}  // namespace millrace::nic
