#include "dataplane/proxy/policy/scoped_routes.h"

#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

config::ScopeFragment by_index(std::string header, std::uint32_t index, std::string separator = ",") {
  return {.header = std::move(header), .element_separator = std::move(separator), .index = index};
}
config::ScopeFragment by_key(std::string header, std::string key, std::string separator = ";") {
  return {.header = std::move(header),
          .element_separator = std::move(separator),
          .pair = {{.key = std::move(key), .separator = "="}}};
}

class ScopedRoutes : public ::testing::Test {
 protected:
  std::optional<std::string_view> read(const config::ScopeFragment& fragment, std::string_view value) {
    http::RequestHead& head = request_.head;
    head.headers.remove("x-scope");
    EXPECT_TRUE(head.headers.add_copy("x-scope", value));
    return scope_fragment(fragment, head);
  }

  testing::Request request_;
};

TEST_F(ScopedRoutes, AFragmentIsAnElementByItsNumber) {
  EXPECT_EQ(read(by_index("x-scope", 0), "a,b,c"), "a");
  EXPECT_EQ(read(by_index("x-scope", 2), "a,b,c"), "c");
  EXPECT_EQ(read(by_index("x-scope", 3), "a,b,c"), std::nullopt);
  EXPECT_EQ(read(by_index("x-scope", 1), "a,,c"), "");
  EXPECT_EQ(read(by_index("x-scope", 1, "::"), "a:b::c"), "c");
  EXPECT_EQ(read(by_index("x-scope", 0, ""), "a,b,c"), "a,b,c");
  EXPECT_EQ(read(by_index("x-scope", 0), ""), "");
  EXPECT_EQ(read(by_index("x-other", 0), "a"), std::nullopt);
}

TEST_F(ScopedRoutes, OrWhatStandsBehindAKey) {
  EXPECT_EQ(read(by_key("x-scope", "b"), "a=1;b=2;b=3"), "2") << "the first";
  EXPECT_EQ(read(by_key("x-scope", "b"), "a=1;b=2=3"), "2=3");
  EXPECT_EQ(read(by_key("x-scope", "b"), "a=1;b"), "") << "the key alone";
  EXPECT_EQ(read(by_key("x-scope", "b"), "a=1; b=2"), std::nullopt) << "nothing is trimmed";
  EXPECT_EQ(read(by_key("x-scope", "b", ""), "b=1;b=2"), "1;b=2") << "one element";
}

TEST_F(ScopedRoutes, PseudoFieldsCanBeRead) {
  request_.head.authority = "www.example";
  request_.head.path = "/p";
  EXPECT_EQ(scope_fragment(by_index("host", 0, ""), request_.head), "www.example");
  EXPECT_EQ(scope_fragment(by_index(":authority", 1, "."), request_.head), "example");
  EXPECT_EQ(scope_fragment(by_index(":path", 0, ""), request_.head), "/p");
}

TEST_F(ScopedRoutes, OfSeveralFieldsTheFirstCounts) {
  EXPECT_TRUE(request_.head.headers.add_copy("x-scope", "first"));
  EXPECT_TRUE(request_.head.headers.add_copy("x-scope", "second"));
  EXPECT_EQ(scope_fragment(by_index("x-scope", 0), request_.head), "first");
}

TEST_F(ScopedRoutes, ARequestHasTheTableOfItsKey) {
  const auto table = [](std::string name) {
    auto out = std::make_shared<config::RouteTable>();
    out->name = std::move(name);
    return out;
  };
  auto scoped = std::make_shared<config::ScopedRoutes>();
  scoped->fragments = {by_index("x-scope", 0), by_index("x-scope", 1)};
  scoped->scopes = {{.name = "3", .key = {"b", "a"}, .routes = table("ba"), .route_config_name = {}},
                    {.name = "1", .key = {"a", "b"}, .routes = table("ab"), .route_config_name = {}},
                    {.name = "2", .key = {"a", "c"}, .routes = nullptr, .route_config_name = "late"},
                    {.name = "4", .key = {"a"}, .routes = table("short"), .route_config_name = {}}};
  scoped->sort();
  config::HttpConnectionManager manager;
  manager.routes = table("none");
  const auto found = [&](std::string_view value) -> std::string {
    (void)read(by_index("x-scope", 0), value);
    const config::RouteTable* routes = route_table_of(manager, request_.head);
    return routes == nullptr ? "(none)" : routes->name;
  };
  EXPECT_EQ(found("a,b"), "none") << "without scopes";
  manager.scoped = scoped;
  EXPECT_EQ(found("a,b"), "ab");
  EXPECT_EQ(found("b,a,x"), "ba");
  EXPECT_EQ(found("a,c"), "(none)") << "its routes have not come";
  EXPECT_EQ(found("a,d"), "(none)");
  EXPECT_EQ(found("ab,"), "(none)");
  EXPECT_EQ(found("a"), "(none)") << "a part is missing";
}

}  // namespace
}  // namespace millrace::proxy
