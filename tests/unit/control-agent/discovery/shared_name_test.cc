#include "control-agent/discovery/shared_name.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace millrace::agent {
namespace {

TEST(SharedName, IsItsText) {
  const SharedName name("outbound|8080||service.default.svc.cluster.local");
  EXPECT_EQ(name, std::string("outbound|8080||service.default.svc.cluster.local"));
  EXPECT_EQ(name, SharedName("outbound|8080||service.default.svc.cluster.local"));
  EXPECT_NE(name, SharedName("other"));
  EXPECT_FALSE(name.empty());
}

TEST(SharedName, OfNoTextIsEmpty) {
  EXPECT_TRUE(SharedName().empty());
  EXPECT_TRUE(SharedName("").empty());
  EXPECT_EQ(SharedName(), SharedName(std::string()));
  EXPECT_EQ(SharedName().text(), "");
}

TEST(SharedName, IsSharedByItsCopies) {
  const SharedName name("a name that is too long to stand within a string");
  const SharedName copy = name;
  EXPECT_EQ(&copy.text(), &name.text());
}

TEST(SharedName, IsOrderedAndHashedAsItsText) {
  const std::set<SharedName> names = {"b", "a", "", "c"};
  std::string in_order;
  for (const SharedName& name : names) in_order += name.text();
  EXPECT_EQ(in_order, "abc");
  const std::map<SharedName, int, std::less<>> numbers = {{"a", 1}};
  EXPECT_TRUE(numbers.contains(std::string("a")));
  EXPECT_EQ(SharedName::Hash{}(SharedName("a")), SharedName::Hash{}(std::string("a")));
}

}  // namespace
}  // namespace millrace::agent
