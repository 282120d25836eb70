#include "config/compile/route_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

RouteTable table_of(std::vector<std::vector<std::string>> domains) {
  RouteTable table;
  for (std::size_t i = 0; i < domains.size(); ++i) {
    VirtualHost host;
    host.name = "vh" + std::to_string(i);
    host.domains = std::move(domains[i]);
    table.virtual_hosts.push_back(std::move(host));
  }
  return table;
}

TEST(RouteTableIndex, SortsDomainsByKind) {
  auto table = table_of({{"Example.com", "*.Example.com"}, {"*"}, {"www.*"}});
  EXPECT_TRUE(index_domains(table).empty());
  EXPECT_EQ(table.exact_domains.find("example.com")->second, 0U);
  EXPECT_EQ(table.suffix_domains.at(0).second.find(".example.com")->second, 0U);
  EXPECT_EQ(table.prefix_domains.at(0).second.find("www.")->second, 2U);
  EXPECT_EQ(table.default_domain, 1U);
  EXPECT_EQ(table.virtual_hosts[0].domains[1], "*.example.com");
}

TEST(RouteTableIndex, KeepsWildcardsLongestFirst) {
  auto table = table_of({{"*.com", "*.a.com"}, {"*.bb.a.com", "*.org"}, {"www.*", "w.*", "www.example.*"}});
  EXPECT_TRUE(index_domains(table).empty());
  std::vector<std::size_t> suffixes;
  for (const auto& [length, map] : table.suffix_domains) suffixes.push_back(length);
  std::vector<std::size_t> prefixes;
  for (const auto& [length, map] : table.prefix_domains) prefixes.push_back(length);
  EXPECT_THAT(suffixes, ElementsAre(9, 6, 4));
  EXPECT_THAT(prefixes, ElementsAre(12, 4, 2));
  EXPECT_EQ(table.suffix_domains[2].second.size(), 2U);
}

TEST(RouteTableIndex, ReportsEveryDuplicateWithItsPlaceAndTheOwner) {
  auto table = table_of({{"a.com", "*", "*.b.com"}, {"A.com", "c.com", "*", "*.b.com"}});
  const auto errors = index_domains(table);
  ASSERT_EQ(errors.size(), 3U);
  EXPECT_EQ(errors[0].virtual_host, 1U);
  EXPECT_EQ(errors[0].domain, 0U);
  EXPECT_THAT(errors[0].reason, HasSubstr("\"a.com\" is already taken by the virtual host \"vh0\""));
  EXPECT_EQ(errors[1].domain, 2U);
  EXPECT_EQ(errors[2].domain, 3U);
}

TEST(RouteTableIndex, RefusesEmptyDomainsAndStarsInTheMiddle) {
  auto table = table_of({{"", "a*b", "*.x.*", "**"}});
  const auto errors = index_domains(table);
  ASSERT_EQ(errors.size(), 4U);
  EXPECT_THAT(errors[0].reason, HasSubstr("must not be empty"));
  for (std::size_t i = 1; i < 4; ++i) EXPECT_THAT(errors[i].reason, HasSubstr("one \"*\" only"));
  EXPECT_TRUE(table.exact_domains.empty());
}

}  // namespace
}  // namespace millrace::config
