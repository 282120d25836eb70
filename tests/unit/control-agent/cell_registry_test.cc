#include "control-agent/cell_registry.h"

#include <gtest/gtest.h>

namespace millrace::agent {
namespace {

TEST(CellRegistry, GivesTheSameCellForTheSameName) {
  CellRegistry cells(3);
  const auto first = cells.clusters.get("a");
  EXPECT_EQ(cells.clusters.get("a"), first);
  EXPECT_EQ(first->name, "a");
  EXPECT_EQ(first->per_worker.size(), 3U);
}

TEST(CellRegistry, CountsIdsPerKind) {
  CellRegistry cells(1);
  EXPECT_EQ(cells.clusters.get("a")->id, 0U);
  EXPECT_EQ(cells.clusters.get("b")->id, 1U);
  EXPECT_EQ(cells.endpoints.get("a|1.2.3.4:5")->id, 0U);
  EXPECT_EQ(cells.clusters.get("a")->id, 0U);
}

TEST(CellRegistry, KeepsCellsThatNobodyHolds) {
  CellRegistry cells(1);
  cells.http.get("ingress")->per_worker[0].downstream_rq_total.add(5);
  EXPECT_EQ(cells.http.all().at(0)->name, "ingress");
  EXPECT_EQ(cells.http.get("ingress")->per_worker[0].downstream_rq_total.value(), 5U);
}

}  // namespace
}  // namespace millrace::agent
