// A whole request's way through the policies with the heap forbidden.
#include <gtest/gtest.h>

#include <array>
#include <optional>

#include "dataplane/proxy/policy/request_headers.h"
#include "dataplane/proxy/policy/response_headers.h"
#include "dataplane/proxy/policy/route_matcher.h"
#include "tests/support/heap_trap.h"
#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

using namespace testing;

TEST(Policies, TakeNothingFromTheHeap) {
  config::HttpConnectionManager manager;
  manager.use_remote_address = manager.normalize_path = manager.merge_slashes = true;
  manager.via = "1.1 a-rather-long-name-of-this-gateway-that-fits-no-small-string";
  config::RouteTable table;
  table.virtual_hosts.resize(1);
  table.suffix_domains.push_back({12, {{".example.com", 0}}});
  config::VirtualHost& host = table.virtual_hosts[0];
  host.routes.resize(2);
  host.routes[0].match.path.text = "/never";
  host.routes[1].match.path.text = "/a";
  config::ForwardAction action;
  action.clusters.resize(1);
  action.prefix_rewrite = "/a-prefix-longer-than-any-small-string-optimisation";
  host.routes[1].action = action;
  host.routes[1].headers.request_add.push_back({.name = "x-a-header-with-quite-a-long-name",
                                                .value = field_format(config::FormatCommand::kReq, "user-agent"),
                                                .action = {},
                                                .keep_empty_value = false});
  const config::Format line = field_format(config::FormatCommand::kStartTime);
  Rng rng(1);
  std::array<char, 512> log;

  for (int i = 0; i < 3; ++i) {
    Request request("/x/../a//b?query=something", {{"user-agent", "a user agent of some considerable length, as they are"},
                                                   {"x-forwarded-for", "203.0.113.1, 203.0.113.2"},
                                                   {"connection", "keep-alive, x-private"}});
    Response response(200, {{"via", "1.1 origin"}});
    request.head.authority = "WWW.Example.com";
    StreamInfo info;
    info.request = &request.head;
    info.downstream_remote = info.downstream_direct_remote = SocketAddress{IpAddress::v4(192, 0, 2, 1), 1};

    test::heap_trap_allocations = 0;
    std::optional<test::HeapTrap> trap(std::in_place);
    const bool continues = prepare_request(manager, request.head, info, rng).continues();
    const config::VirtualHost* found_host = find_virtual_host(table, request.head.authority);
    const config::Route* route = found_host == nullptr ? nullptr : find_route(*found_host, request.head, {0, rng});
    const bool forwarded =
        route != nullptr && prepare_forward({.manager = manager,
                                             .levels = {.table = &table, .virtual_host = found_host, .route = route},
                                             .timeouts = {.response = Duration::seconds(1)}},
                                            request.head, info);
    const bool answered = prepare_upstream_response(manager, {}, response.head, info, Duration::seconds(1), {}) &&
                          prepare_response(manager, &request.head, response.head, "Sun, 06 Nov 1994 08:49:37 GMT");
    const std::size_t logged = render_access_log(line, info, {}, log);
    trap.reset();

    EXPECT_EQ(test::heap_trap_allocations, 0u);
    EXPECT_TRUE(continues && forwarded && answered);
    EXPECT_EQ(request.head.path, "/a-prefix-longer-than-any-small-string-optimisation/b?query=something");
    EXPECT_EQ(logged, 25u);
  }
}

}  // namespace
}  // namespace millrace::proxy
