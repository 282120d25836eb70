// Placement on invented machines.
#include "nic/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sched.h>

#include <array>
#include <set>
#include <thread>

namespace millrace::nic {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// CPUs are numbered as Linux does: first threads of all cores of all sockets, then the second threads.
Topology machine(int sockets, int cores, int threads) {
  Topology topology;
  for (int thread = 0; thread < threads; ++thread) {
    for (int socket = 0; socket < sockets; ++socket) {
      for (int core = 0; core < cores; ++core) {
        const int physical = socket * cores + core;
        topology.cpus.push_back({.id = thread * sockets * cores + physical,
                                 .core = physical,
                                 .numa_node = socket,
                                 .package = socket,
                                 .allowed = true});
      }
    }
  }
  return topology;
}

Topology restricted(Topology topology, const std::set<int>& allowed) {
  for (auto& cpu : topology.cpus) cpu.allowed = allowed.contains(cpu.id);
  return topology;
}

TEST(Placement_TwoSocketsOf8CoresWithSmt, PutsWorkersOnThePortsNodeAndTheAgentOnTheOther) {
  const auto placed = place_workers(machine(2, 8, 2), {.workers = 4, .port_numa_nodes = {1}});
  ASSERT_TRUE(placed.has_value());
  EXPECT_EQ(placed->agent_cpu, 0);
  EXPECT_THAT(placed->worker_cpus, ElementsAre(8, 9, 10, 11));
  EXPECT_THAT(placed->worker_numa_nodes, Each(1));
  EXPECT_FALSE(placed->shared);
  EXPECT_EQ(placed->warning, "");
}

TEST(Placement_TwoSocketsOf8CoresWithSmt, TakesFarCoresBeforeSecondThreadsOfNearOnes) {
  const auto placed = place_workers(machine(2, 8, 2), {.workers = 10, .port_numa_nodes = {0}});
  ASSERT_TRUE(placed.has_value());
  EXPECT_EQ(placed->agent_cpu, 8);
  EXPECT_THAT(placed->worker_cpus, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 9, 10));
}

TEST(Placement_TwoSocketsOf8CoresWithSmt, UsesSecondThreadsWhenAllCoresAreBusyAndTheAgentsSiblingLast) {
  const auto placed = place_workers(machine(2, 8, 2), {.workers = 31, .port_numa_nodes = {0}});
  ASSERT_TRUE(placed.has_value());
  EXPECT_FALSE(placed->shared);
  EXPECT_EQ(std::set<int>(placed->worker_cpus.begin(), placed->worker_cpus.end()).size(), 31u);
  EXPECT_THAT(placed->worker_cpus, Not(Contains(placed->agent_cpu)));
}

TEST(Placement_TwoSocketsOf8CoresWithSmt, SpreadsWorkersOverPortsOnBothNodes) {
  const auto placed = place_workers(machine(2, 8, 2), {.workers = 4, .port_numa_nodes = {0, 1}});
  ASSERT_TRUE(placed.has_value());
  EXPECT_THAT(placed->worker_numa_nodes, ElementsAre(0, 1, 0, 1));
}

TEST(Placement_TwoSocketsOf8CoresWithSmt, KeepsAGivenAgentCpuFreeOfWorkers) {
  const auto placed = place_workers(machine(2, 8, 2), {.workers = 2, .port_numa_nodes = {0}, .agent_cpu = 1});
  ASSERT_TRUE(placed.has_value());
  EXPECT_EQ(placed->agent_cpu, 1);
  EXPECT_THAT(placed->worker_cpus, ElementsAre(0, 2));
}

TEST(Placement_OneSocketOfTwoNodes, PrefersTheOtherNodeOfTheSamePackage) {
  Topology topology = machine(3, 2, 1);
  for (auto& cpu : topology.cpus) cpu.package = cpu.numa_node == 0 ? 0 : 1;  // nodes 1 and 2 share a package
  const auto placed = place_workers(topology, {.workers = 3, .port_numa_nodes = {2}});
  ASSERT_TRUE(placed.has_value());
  EXPECT_THAT(placed->worker_numa_nodes, ElementsAre(2, 2, 1));
}

TEST(Placement_AffinityMask, IsHonoured) {
  const auto placed = place_workers(restricted(machine(2, 8, 2), {3, 5, 19}), {.workers = 1, .port_numa_nodes = {1}});
  ASSERT_TRUE(placed.has_value());
  EXPECT_EQ(placed->agent_cpu, 3);
  EXPECT_THAT(placed->worker_cpus, ElementsAre(5)) << "19 is the second thread of the agent's core";
}

TEST(Placement_AffinityMask, EmptyIsAnError) {
  const auto placed = place_workers(restricted(machine(1, 2, 1), {}), {.workers = 1});
  ASSERT_FALSE(placed.has_value());
  EXPECT_THAT(placed.error(), HasSubstr("affinity"));
}

TEST(Placement_AffinityMask, RefusesAnAgentCpuOutsideOfIt) {
  const auto placed = place_workers(restricted(machine(1, 4, 1), {0, 1}), {.workers = 1, .agent_cpu = 3});
  ASSERT_FALSE(placed.has_value());
  EXPECT_THAT(placed.error(), HasSubstr("CPU 3"));
}

TEST(Placement_TwoCores, GivesTheAgentOneAndTheWorkerTheOther) {
  const auto placed = place_workers(machine(1, 2, 1), {.workers = 1, .port_numa_nodes = {-1}});
  ASSERT_TRUE(placed.has_value());
  EXPECT_EQ(placed->agent_cpu, 0);
  EXPECT_THAT(placed->worker_cpus, ElementsAre(1));
  EXPECT_THAT(placed->other_cpus, ElementsAre(0));
  EXPECT_FALSE(placed->shared);
}

TEST(Placement_TwoCores, SharesTheAgentsCpuWithTheSecondWorkerAndSaysSo) {
  const auto placed = place_workers(machine(1, 2, 1), {.workers = 2});
  ASSERT_TRUE(placed.has_value());
  EXPECT_THAT(placed->worker_cpus, ElementsAre(1, 0));
  EXPECT_THAT(placed->other_cpus, ElementsAre(0, 1)) << "none is left";
  EXPECT_TRUE(placed->shared);
  EXPECT_THAT(placed->warning, HasSubstr("may use 2"));
}

TEST(Placement_TwoCores, SpreadsMoreWorkersEvenly) {
  const auto placed = place_workers(machine(1, 2, 1), {.workers = 4});
  ASSERT_TRUE(placed.has_value());
  EXPECT_THAT(placed->worker_cpus, ElementsAre(1, 0, 1, 0));
}

TEST(Placement_OtherThreads, StayAwayFromTheWorkersCores) {
  const auto placed = place_workers(machine(1, 4, 2), {.workers = 2});
  ASSERT_TRUE(placed.has_value());
  EXPECT_THAT(placed->worker_cpus, ElementsAre(1, 2));
  EXPECT_THAT(placed->other_cpus, ElementsAre(0, 3, 4, 7));
}

TEST(Placement_OtherThreads, TakeSecondThreadsOfTheWorkersCoresWhereThereAreNoOthers) {
  const auto placed = place_workers(restricted(machine(1, 2, 2), {1, 3}), {.workers = 1});
  ASSERT_TRUE(placed.has_value());
  EXPECT_THAT(placed->worker_cpus, ElementsAre(3));
  EXPECT_THAT(placed->other_cpus, ElementsAre(1));
}

TEST(Placement_OneCpu, SharesIt) {
  const auto placed = place_workers(machine(1, 1, 1), {.workers = 1, .port_numa_nodes = {0}});
  ASSERT_TRUE(placed.has_value());
  EXPECT_THAT(placed->worker_cpus, ElementsAre(0));
  EXPECT_TRUE(placed->shared);
}

TEST(Topology_OfThisMachine, AllowsExactlyTheCpusOfTheAffinityMask) {
  const auto topology = load_topology();
  ASSERT_TRUE(topology.has_value()) << topology.error();
  cpu_set_t mask;
  CPU_ZERO(&mask);
  ASSERT_EQ(sched_getaffinity(0, sizeof(mask), &mask), 0);
  EXPECT_EQ(topology->allowed_cpus(), static_cast<std::size_t>(CPU_COUNT(&mask)));
  for (const auto& cpu : topology->cpus) EXPECT_EQ(cpu.allowed, CPU_ISSET(static_cast<std::size_t>(cpu.id), &mask)) << cpu.id;
}

TEST(BindCurrentThread, BindsTheThreadToThoseCpus) {
  const auto topology = load_topology();
  ASSERT_TRUE(topology.has_value());
  int allowed = -1;
  for (const auto& cpu : topology->cpus) {
    if (cpu.allowed) allowed = cpu.id;
  }
  int ran_on = -1;
  std::thread([&] {
    EXPECT_TRUE(bind_current_thread(std::array{allowed}).has_value());
    ran_on = sched_getcpu();
  }).join();
  EXPECT_EQ(ran_on, allowed);
}

TEST(BindCurrentThread, NamesACpuThatDoesNotExist) {
  const auto pinned = bind_current_thread(std::array{1'000'000});
  ASSERT_FALSE(pinned.has_value());
  EXPECT_THAT(pinned.error(), HasSubstr("1000000"));
}

}  // namespace
}  // namespace millrace::nic
