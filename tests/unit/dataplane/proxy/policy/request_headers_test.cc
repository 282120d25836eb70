#include "dataplane/proxy/policy/request_headers.h"

#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/policy/policy_support.h"
#include "tls/handshake.h"

namespace millrace::proxy {
namespace {

using namespace testing;
using config::HttpConnectionManager;

SocketAddress address(std::string_view text) { return *SocketAddress::parse(text); }

// A request that arrives at a connection manager.
struct Arrival : Request {
  using Request::Request;

  tls::SessionFacts session;

  RequestOutcome prepare(bool tls = false) {
    info.request = &head;
    info.downstream_local = address("198.18.0.2:8080");
    if (tls) info.downstream_tls = &session;
    return prepare_request(manager, head, info, rng);
  }
  std::string_view field(std::string_view name) const { return head.headers.value(name); }
  bool has(std::string_view name) const { return head.headers.find(name) != nullptr; }
  Arrival& from(std::string_view ip) {
    info.downstream_remote = info.downstream_direct_remote = SocketAddress{*IpAddress::parse(ip), 4711};
    return *this;
  }

  HttpConnectionManager manager;
  StreamInfo info;
  Rng rng{42};
};

// The examples of Envoy's documentation of x-forwarded-for, by their numbers.
struct ForwardedForExample {
  int number;
  bool use_remote_address;
  std::uint32_t trusted_hops;
  std::string_view peer;
  std::string_view before;
  std::string_view trusted_client;
  std::string_view external_address;  // "-": not set
  std::string_view after;
  bool internal;
};
constexpr std::string_view kThree = "203.0.113.128, 203.0.113.10, 203.0.113.1";
constexpr std::string_view kFour = "203.0.113.128, 203.0.113.10, 203.0.113.1, 192.0.2.5";
constexpr ForwardedForExample kExamples[] = {
    {1, true, 0, "192.0.2.5", kThree, "192.0.2.5", "192.0.2.5", "203.0.113.128, 203.0.113.10, 203.0.113.1,192.0.2.5", false},
    {2, false, 0, "10.11.12.13", kFour, "192.0.2.5", "-", kFour, false},
    {3, true, 2, "192.0.2.5", kThree, "203.0.113.10", "203.0.113.10", "203.0.113.128, 203.0.113.10, 203.0.113.1,192.0.2.5",
     false},
    {4, false, 2, "10.11.12.13", kFour, "203.0.113.10", "-", kFour, false},
    {5, false, 0, "10.20.30.40", "", "10.20.30.40", "-", "", false},
    {6, false, 0, "10.20.30.50", "10.20.30.40", "10.20.30.40", "-", "10.20.30.40", true},
    // Beyond the documentation's examples: its rules.
    {7, true, 0, "10.1.1.1", "", "10.1.1.1", "-", "10.1.1.1", true},
    {8, true, 0, "10.1.1.1", "10.2.2.2", "10.1.1.1", "10.1.1.1", "10.2.2.2,10.1.1.1", false},
    {9, true, 3, "192.0.2.5", "203.0.113.1", "192.0.2.5", "192.0.2.5", "203.0.113.1,192.0.2.5", false},
    {10, false, 1, "192.0.2.5", "203.0.113.1", "192.0.2.5", "-", "203.0.113.1", false},
    {11, false, 0, "192.0.2.5", "nonsense", "192.0.2.5", "-", "nonsense", false},
    {12, true, 0, "2001:db8::7", "", "2001:db8::7", "2001:db8::7", "2001:db8::7", false},
};

TEST(PrepareRequest, FindsTheTrustedClientAsDocumented) {
  for (const ForwardedForExample& example : kExamples) {
    SCOPED_TRACE(example.number);
    Arrival request("/", {{"x-envoy-internal", "forged"}});
    if (!example.before.empty()) {
      ASSERT_TRUE(request.head.headers.add_copy("x-forwarded-for", example.before));
    }
    request.manager.use_remote_address = example.use_remote_address;
    request.manager.xff_num_trusted_hops = example.trusted_hops;
    ASSERT_TRUE(request.from(example.peer).prepare().continues());
    EXPECT_EQ(request.info.downstream_remote.ip.to_string(), example.trusted_client);
    EXPECT_EQ(request.info.downstream_direct_remote.ip.to_string(), example.peer);
    EXPECT_EQ(request.field("x-forwarded-for"), example.after);
    EXPECT_EQ(request.has("x-envoy-external-address") ? request.field("x-envoy-external-address") : "-",
              example.external_address);
    EXPECT_EQ(request.has("x-envoy-internal") ? request.field("x-envoy-internal") : "-", example.internal ? "true" : "-");
  }
}

TEST(PrepareRequest, SkipsTheAppendWhenTold) {
  Arrival request("/", {{"x-forwarded-for", "203.0.113.1"}});
  request.manager.use_remote_address = request.manager.skip_xff_append = true;
  ASSERT_TRUE(request.from("192.0.2.5").prepare().continues());
  EXPECT_EQ(request.field("x-forwarded-for"), "203.0.113.1");
}

TEST(PrepareRequest, ALoopbackPeerIsToldAsOurOwnAddress) {
  Arrival request;
  request.manager.use_remote_address = true;
  ASSERT_TRUE(request.from("127.0.0.1").prepare().continues());
  EXPECT_EQ(request.field("x-forwarded-for"), "198.18.0.2");
}

TEST(PrepareRequest, AUnixSocketIsNoAddressToForward) {
  Arrival arrival;
  arrival.manager.use_remote_address = true;
  arrival.info.downstream_remote = arrival.info.downstream_direct_remote = SocketAddress::of_pipe("/run/edge.sock");
  ASSERT_TRUE(arrival.prepare().continues());
  EXPECT_FALSE(arrival.has("x-forwarded-for"));
  EXPECT_FALSE(arrival.has("x-envoy-external-address"));
  EXPECT_FALSE(arrival.has("x-envoy-internal"));
}

TEST(PrepareRequest, TrustsForwardedProtoOnlyBehindTrustedHops) {
  struct Case {
    bool use_remote_address;
    std::uint32_t hops;
    std::string_view before;
    bool tls;
    std::string_view after;
  };
  constexpr Case kCases[] = {{true, 0, "https", false, "http"},   {true, 0, "", true, "https"},
                             {true, 1, "https", false, "https"},  {true, 1, "", false, "http"},
                             {false, 0, "https", false, "https"}, {false, 0, "", false, "http"}};
  for (const Case& c : kCases) {
    Arrival request;
    if (!c.before.empty()) {
      ASSERT_TRUE(request.head.headers.add_copy("x-forwarded-proto", c.before));
    }
    request.manager.use_remote_address = c.use_remote_address;
    request.manager.xff_num_trusted_hops = c.hops;
    ASSERT_TRUE(request.from("192.0.2.5").prepare(c.tls).continues());
    EXPECT_EQ(request.field("x-forwarded-proto"), c.after) << c.before << c.hops;
    EXPECT_EQ(request.head.scheme, c.after);
  }
}

TEST(PrepareRequest, AnUnknownForwardedProtoDoesNotBecomeTheScheme) {
  Arrival request("/", {{"x-forwarded-proto", "ftp"}});
  ASSERT_TRUE(request.from("192.0.2.5").prepare().continues());
  EXPECT_EQ(request.head.scheme, "http");
}

TEST(PrepareRequest, RefusesAnAbsoluteTargetThatClaimsTlsOrAnotherScheme) {
  for (const std::string_view scheme : {"https", "ftp"}) {
    Arrival request;
    request.head.scheme = scheme;
    const RequestOutcome outcome = request.from("192.0.2.5").prepare();
    EXPECT_FALSE(outcome.continues());
    EXPECT_EQ(outcome.reply.status, 400);
  }
  Arrival encrypted;
  encrypted.head.scheme = "HTTPS";
  ASSERT_TRUE(encrypted.from("192.0.2.5").prepare(true).continues());
  EXPECT_EQ(encrypted.head.scheme, "https");
}

TEST(PrepareRequest, AnswersForBadTargets) {
  const auto answer = [](std::string_view authority, std::string_view path) {
    Arrival request(path);
    request.head.authority = authority;
    const RequestOutcome outcome = request.from("192.0.2.5").prepare();
    return outcome.continues() ? "continues" : std::to_string(outcome.reply.status) + " " + std::string(outcome.reply.details);
  };
  EXPECT_EQ(answer("", "/"), "400 missing_host_header");
  EXPECT_EQ(answer("a", ""), "404 missing_path_rejected");
  EXPECT_EQ(answer("a", "*"), "404 absolute_path_rejected");
  EXPECT_EQ(answer("a", "/#x"), "400 path_normalization_failed");
  EXPECT_EQ(answer("a", "/"), "continues");
}

TEST(PrepareRequest, AConnectNeedsNoPath) {
  Arrival request("");
  request.head.method = "CONNECT";
  request.head.upgrade = "CONNECT";
  EXPECT_TRUE(request.from("192.0.2.5").prepare().continues());
  EXPECT_FALSE(request.has("upgrade"));
}

TEST(PrepareRequest, Http10GetsTheDefaultHost) {
  Arrival request;
  request.head.authority = "";
  request.head.version = http::Version::kHttp10;
  EXPECT_EQ(request.from("192.0.2.5").prepare().reply.details, "missing_host_header");
  request.manager.default_host_for_http_10 = "default.example";
  EXPECT_TRUE(request.prepare().continues());
  EXPECT_EQ(request.head.authority, "default.example");
}

TEST(PrepareRequest, RedirectsToTheUnescapedPath) {
  Arrival request("/a%2fb");
  request.manager.escaped_slashes = HttpConnectionManager::EscapedSlashes::kUnescapeAndRedirect;
  const RequestOutcome outcome = request.from("192.0.2.5").prepare();
  EXPECT_EQ(outcome.reply.status, 307);
  EXPECT_EQ(outcome.reply.location, "/a/b");
}

TEST(PrepareRequest, StripsThePortOfTheHost) {
  const auto host = [](std::string_view authority, bool any, bool matching) {
    Arrival request;
    request.head.authority = authority;
    request.manager.strip_any_host_port = any;
    request.manager.strip_matching_host_port = matching;
    EXPECT_TRUE(request.from("192.0.2.5").prepare().continues());
    return std::string(request.head.authority);
  };
  EXPECT_EQ(host("a:8080", false, false), "a:8080");
  EXPECT_EQ(host("a:8080", false, true), "a") << "the listener's port";
  EXPECT_EQ(host("a:8081", false, true), "a:8081");
  EXPECT_EQ(host("a:99999", false, true), "a:99999");
  EXPECT_EQ(host("[::1]:8081", true, false), "[::1]");
}

TEST(PrepareRequest, KeepsAnUpgradeVisibleAndNothingElseOfTheConnection) {
  Arrival request("/", {{"connection", "keep-alive, Upgrade"}, {"upgrade", "websocket"}, {"keep-alive", "5"}});
  request.head.upgrade = request.head.headers.value("upgrade");
  ASSERT_TRUE(request.from("192.0.2.5").prepare().continues());
  EXPECT_EQ(request.field("connection"), "upgrade");
  EXPECT_EQ(request.field("upgrade"), "websocket");
  EXPECT_FALSE(request.has("keep-alive"));
  Arrival other("/", {{"connection", "Upgrade"}, {"upgrade", "h2c"}});
  ASSERT_TRUE(other.from("192.0.2.5").prepare().continues());
  EXPECT_FALSE(other.has("connection"));
  EXPECT_FALSE(other.has("upgrade"));
}

TEST(PrepareRequest, AnExternalClientCannotSpeakForEnvoy) {
  const std::initializer_list<Field> fields = {{"x-envoy-retry-on", "5xx"},
                                               {"x-envoy-upstream-rq-timeout-ms", "1"},
                                               {"x-envoy-upstream-stream-duration-ms", "1"},
                                               {"x-envoy-expected-rq-timeout-ms", "1"},
                                               {"x-envoy-force-trace", "1"},
                                               {"x-envoy-decorator-operation", "o"},
                                               {"x-envoy-downstream-service-cluster", "c"},
                                               {"x-envoy-downstream-service-node", "n"},
                                               {"x-envoy-original-path", "/admin"}};
  Arrival edge("/", fields);
  edge.manager.use_remote_address = true;
  ASSERT_TRUE(edge.from("192.0.2.5").prepare().continues());
  for (const auto& [name, value] : fields) EXPECT_FALSE(edge.has(name)) << name;

  Arrival behind_edge("/", fields);
  ASSERT_TRUE(behind_edge.from("192.0.2.5").prepare().continues());
  EXPECT_FALSE(behind_edge.has("x-envoy-retry-on"));
  EXPECT_TRUE(behind_edge.has("x-envoy-downstream-service-cluster"));

  Arrival internal("/", fields);
  internal.manager.use_remote_address = true;
  ASSERT_TRUE(internal.from("10.0.0.1").prepare().continues());
  for (const auto& [name, value] : fields) EXPECT_EQ(internal.field(name), value) << name;
}

TEST(PrepareRequest, OnlyInsidersMaySendTheTablesInternalFields) {
  auto table = std::make_shared<config::RouteTable>();
  table->internal_only_headers = {"x-tenant"};
  for (const bool internal : {false, true}) {
    Arrival arrival("/", {{"X-Tenant", "7"}});
    arrival.manager.use_remote_address = true;
    arrival.manager.routes = table;
    EXPECT_TRUE(arrival.from(internal ? "10.0.0.1" : "203.0.113.1").prepare().continues());
    EXPECT_EQ(arrival.has("x-tenant"), internal);
  }
}

TEST(PrepareRequest, GeneratesRequestIds) {
  struct Case {
    bool edge, preserve, generate;
    std::string_view before;
    bool kept;
  };
  constexpr Case kCases[] = {{true, false, true, "mine", false}, {true, true, true, "mine", true},
                             {false, false, true, "mine", true}, {true, false, true, "", false},
                             {false, true, true, "", false},     {true, false, false, "mine", true},
                             {true, false, false, "", true}};
  for (const Case& c : kCases) {
    Arrival request;
    if (!c.before.empty()) {
      ASSERT_TRUE(request.head.headers.add_copy("x-request-id", c.before));
    }
    request.manager.use_remote_address = c.edge;
    request.manager.preserve_external_request_id = c.preserve;
    request.manager.generate_request_id = c.generate;
    ASSERT_TRUE(request.from("192.0.2.5").prepare().continues());
    if (c.kept) {
      EXPECT_EQ(request.field("x-request-id"), c.before);
    } else {
      EXPECT_EQ(request.field("x-request-id").size(), kUuidBytes);
    }
  }
}

TEST(PrepareRequest, TellsWhoWeAreWhenConfigured) {
  Arrival request("/", {{"via", "1.0 fred"}, {"user-agent", "curl"}, {"x-forwarded-client-cert", "Hash=1"}});
  request.manager.add_user_agent = true;
  request.manager.service_cluster = "edge";
  request.manager.service_node = "node-1";
  request.manager.via = "1.1 millrace";
  ASSERT_TRUE(request.from("192.0.2.5").prepare().continues());
  EXPECT_EQ(request.field("x-envoy-downstream-service-cluster"), "edge");
  EXPECT_EQ(request.field("x-envoy-downstream-service-node"), "node-1");
  EXPECT_EQ(request.field("user-agent"), "curl");
  EXPECT_EQ(request.field("via"), "1.0 fred, 1.1 millrace");
  EXPECT_FALSE(request.has("x-forwarded-client-cert"));
}

TEST(PrepareRequest, ForwardsAClientCertificateFieldOnlyWhenTold) {
  Arrival request("/", {{"x-forwarded-client-cert", "Hash=1"}});
  request.manager.forward_client_cert = config::HttpConnectionManager::ForwardClientCert::kAlwaysForwardOnly;
  ASSERT_TRUE(request.from("192.0.2.5").prepare().continues());
  EXPECT_EQ(request.field("x-forwarded-client-cert"), "Hash=1");
}

TEST(PrepareRequest, DropsARefererThatIsNoUrl) {
  for (const auto& [referer, kept] :
       {std::pair{"http://a/b", true}, {"https://a", true}, {"about:blank", false}, {"/x", false}, {"http:///x", false}}) {
    Arrival request("/", {{"referer", referer}});
    ASSERT_TRUE(request.from("192.0.2.5").prepare().continues());
    EXPECT_EQ(request.has("referer"), kept) << referer;
  }
}

TEST(PrepareRequest, AnswersOverloadedWithoutMemory) {
  NoMemory memory;
  http::RequestHead head(memory.arena, 100);
  head.method = "GET";
  head.path = "/";
  head.authority = "a";
  StreamInfo info;
  Rng rng(1);
  EXPECT_EQ(prepare_request({}, head, info, rng).reply.details, "overload");
}

TEST(TlsRedirect, DependsOnTheVirtualHostAndTheClient) {
  config::VirtualHost host;
  Request plain("/", {{"x-forwarded-proto", "http"}});
  Request internal("/", {{"x-forwarded-proto", "http"}, {"x-envoy-internal", "true"}});
  Request encrypted("/", {{"x-forwarded-proto", "https"}});
  EXPECT_FALSE(needs_tls_redirect(host, plain.head));
  host.require_tls = config::VirtualHost::RequireTls::kExternalOnly;
  EXPECT_TRUE(needs_tls_redirect(host, plain.head));
  EXPECT_FALSE(needs_tls_redirect(host, internal.head));
  host.require_tls = config::VirtualHost::RequireTls::kAll;
  EXPECT_TRUE(needs_tls_redirect(host, internal.head));
  EXPECT_FALSE(needs_tls_redirect(host, encrypted.head));
}

TEST(UpgradeAllowed, WebsocketByManagerOrRoute) {
  HttpConnectionManager manager;
  config::ForwardAction action;
  Request request;
  EXPECT_TRUE(upgrade_allowed(manager, action, request.head));
  request.head.upgrade = "WebSocket";
  EXPECT_FALSE(upgrade_allowed(manager, action, request.head));
  manager.websocket = true;
  EXPECT_TRUE(upgrade_allowed(manager, action, request.head));
  action.websocket = false;
  EXPECT_FALSE(upgrade_allowed(manager, action, request.head));
  manager.websocket = false;
  action.websocket = true;
  EXPECT_TRUE(upgrade_allowed(manager, action, request.head));
  request.head.upgrade = "other";
  EXPECT_FALSE(upgrade_allowed(manager, action, request.head));
  request.head.method = request.head.upgrade = "CONNECT";
  EXPECT_FALSE(upgrade_allowed(manager, action, request.head));
  manager.connect = true;
  EXPECT_TRUE(upgrade_allowed(manager, action, request.head));
  action.connect = false;
  EXPECT_FALSE(upgrade_allowed(manager, action, request.head));
}

TEST(ResponseTimeout, IsTheRoutesOrTheFields) {
  config::ForwardAction action;
  Request plain;
  EXPECT_EQ(take_response_timeout(action, plain.head), Duration::seconds(15));
  Request stated("/", {{"x-envoy-upstream-rq-timeout-ms", "250"}});
  EXPECT_EQ(take_response_timeout(action, stated.head), Duration::milliseconds(250));
  EXPECT_EQ(stated.head.headers.size(), 0u);
  Request broken("/", {{"x-envoy-upstream-rq-timeout-ms", "25x"}});
  EXPECT_EQ(take_response_timeout(action, broken.head), Duration::seconds(15));
}

constexpr Duration kSecond = Duration::seconds(1);

TEST(ResponseTimeout, IsAGrpcRequestsOwnWhereTheRouteSaysSo) {
  config::ForwardAction action;
  action.grpc_timeout = config::GrpcTimeout{.max = kSecond * 10, .offset = kSecond};
  const auto timeout_for = [&](std::string_view stated, std::string_view type = "application/grpc") {
    Request request("/", {{"content-type", type}, {"grpc-timeout", stated}});
    return take_response_timeout(action, request.head);
  };
  EXPECT_EQ(timeout_for("5S"), kSecond * 4);
  EXPECT_EQ(timeout_for("1S"), kSecond) << "the offset would leave nothing";
  EXPECT_EQ(timeout_for("60S"), kSecond * 10);
  EXPECT_EQ(timeout_for("99999999H"), kSecond * 10);
  EXPECT_EQ(timeout_for("none"), kSecond * 10) << "without one, it may take any time";
  EXPECT_EQ(timeout_for("5S", "text/plain"), kSecond * 15);
  action.grpc_timeout->max = Duration();
  EXPECT_EQ(timeout_for("60S"), kSecond * 59);
  EXPECT_EQ(timeout_for("none"), Duration());
  action.stream_duration.emplace();
  EXPECT_EQ(timeout_for("5S"), Duration()) << "max_stream_duration replaces all of them";
  Request client("/", {{"x-envoy-upstream-rq-timeout-ms", "250"}});
  EXPECT_EQ(take_response_timeout(action, client.head), Duration::milliseconds(250));
}

TEST(StreamDuration, IsTheRoutesOrTheGrpcTimeoutUpToAMaximum) {
  config::ForwardAction action;
  const auto duration_for = [&](std::string_view stated) {
    return stream_duration(action, Request("/", {{"grpc-timeout", stated}}).head);
  };
  EXPECT_EQ(duration_for("5S"), std::nullopt);
  action.stream_duration.emplace();
  EXPECT_EQ(duration_for("5S"), std::nullopt) << "as the connection manager says";
  action.stream_duration->limit = kSecond * 3;
  EXPECT_EQ(duration_for("5S"), kSecond * 3);
  action.stream_duration->grpc_header_max = kSecond * 10;
  EXPECT_EQ(duration_for("5S"), kSecond * 5);
  EXPECT_EQ(duration_for("60S"), kSecond * 10);
  EXPECT_EQ(duration_for("none"), kSecond * 3);
  action.stream_duration->grpc_header_offset = kSecond;
  EXPECT_EQ(duration_for("5S"), kSecond * 4);
  EXPECT_LT(duration_for("1S"), Duration()) << "it is over";
  action.stream_duration->grpc_header_max = Duration();
  EXPECT_EQ(duration_for("60S"), kSecond * 59);
  EXPECT_EQ(duration_for("99999999H"), Duration::infinite());
}

TEST(StreamDuration, IsAnnouncedToTheUpstreamOfGrpcRequests) {
  config::ForwardAction action;
  Request grpc("/", {{"content-type", "application/grpc+proto"}, {"grpc-timeout", "9S"}});
  ASSERT_TRUE(announce_stream_duration(action, kSecond, grpc.head));
  EXPECT_EQ(grpc.head.headers.value("grpc-timeout"), "9S");
  action.stream_duration.emplace();
  ASSERT_TRUE(announce_stream_duration(action, Duration(), grpc.head));
  EXPECT_EQ(grpc.head.headers.value("grpc-timeout"), "9S");
  ASSERT_TRUE(announce_stream_duration(action, kSecond, grpc.head));
  EXPECT_EQ(grpc.head.headers.value("grpc-timeout"), "1000m");
  Request other;
  ASSERT_TRUE(announce_stream_duration(action, kSecond, other.head));
  EXPECT_EQ(other.head.headers.size(), 0u);
}

// A request on its way to a cluster.
struct Forwarding : Request {
  using Request::Request;
  bool prepare() {
    route.match.path.text = "/a";
    route.action = action;
    info.request = &head;
    return prepare_forward({.manager = manager,
                            .levels = {.table = &table, .virtual_host = &host, .route = &route, .cluster = &cluster},
                            .timeouts = {.response = timeout, .per_try = {}, .for_grpc = for_grpc},
                            .endpoint_host = endpoint_host},
                           head, info);
  }
  std::string_view field(std::string_view name) const { return head.headers.value(name); }

  HttpConnectionManager manager;
  config::RouteTable table;
  config::VirtualHost host;
  config::Route route;
  config::ForwardAction action;
  config::WeightedCluster cluster;
  Duration timeout = Duration::seconds(15);
  bool for_grpc = false;
  std::string_view endpoint_host;
  StreamInfo info;
};

TEST(PrepareForward, StatesTheTimeoutThatIsLeftToUpstream) {
  Forwarding request("/a");
  ASSERT_TRUE(request.prepare());
  EXPECT_EQ(request.field("x-envoy-expected-rq-timeout-ms"), "15000");
  for (const Duration none : {Duration(), Duration::infinite()}) {
    Forwarding without("/a");
    without.timeout = none;
    ASSERT_TRUE(without.prepare());
    EXPECT_EQ(without.head.headers.size(), 0u);
  }
  Forwarding suppressed("/a");
  suppressed.manager.suppress_envoy_headers = true;
  ASSERT_TRUE(suppressed.prepare());
  EXPECT_EQ(suppressed.head.headers.size(), 0u);
}

TEST(PrepareForward, RewritesThePathAndRemembersTheOld) {
  Forwarding request("/a/b?c", {{"x-envoy-original-path", "/forged"}});
  request.action.prefix_rewrite = "/z";
  ASSERT_TRUE(request.prepare());
  EXPECT_EQ(request.head.path, "/z/b?c");
  EXPECT_EQ(request.field("x-envoy-original-path"), "/a/b?c");
  Forwarding suppressed("/a");
  suppressed.manager.suppress_envoy_headers = true;
  suppressed.action.prefix_rewrite = "/z";
  ASSERT_TRUE(suppressed.prepare());
  EXPECT_EQ(suppressed.head.path, "/z");
  EXPECT_EQ(suppressed.head.headers.size(), 0u);
}

TEST(PrepareForward, RewritesTheHost) {
  Forwarding literal_host("/a", {{"x-forwarded-host", "first"}});
  literal_host.action.host_rewrite_literal = "new.example";
  literal_host.action.append_x_forwarded_host = true;
  ASSERT_TRUE(literal_host.prepare());
  EXPECT_EQ(literal_host.head.authority, "new.example");
  EXPECT_EQ(literal_host.field("x-forwarded-host"), "first,example.com");

  Forwarding by_field("/a", {{"x-host", "field.example"}});
  by_field.action.host_rewrite_header = "x-host";
  ASSERT_TRUE(by_field.prepare());
  EXPECT_EQ(by_field.head.authority, "field.example");
  EXPECT_EQ(by_field.field("x-forwarded-host"), "");

  Forwarding absent_field("/a");
  absent_field.action.host_rewrite_header = "x-host";
  absent_field.action.append_x_forwarded_host = true;
  ASSERT_TRUE(absent_field.prepare());
  EXPECT_EQ(absent_field.head.authority, "example.com");
  EXPECT_EQ(absent_field.field("x-forwarded-host"), "");

  Forwarding by_cluster("/a");
  by_cluster.action.host_rewrite_literal = "new.example";
  by_cluster.cluster.host_rewrite = "cluster.example";
  ASSERT_TRUE(by_cluster.prepare());
  EXPECT_EQ(by_cluster.head.authority, "cluster.example");
}

TEST(PrepareForward, RewritesTheHostToThePathsOrTheEndpoints) {
  Forwarding by_path("/tenant/x?q");
  by_path.action.host_rewrite_path = config::RegexRewrite{regex("^/(.+)/.+$"), "\\1.example"};
  ASSERT_TRUE(by_path.prepare());
  EXPECT_EQ(by_path.head.authority, "tenant.example");

  Forwarding by_endpoint("/a", {{"x-forwarded-host", "first, example.com"}});
  by_endpoint.action.auto_host_rewrite = by_endpoint.action.append_x_forwarded_host = true;
  ASSERT_TRUE(by_endpoint.prepare());
  EXPECT_EQ(by_endpoint.head.authority, "example.com") << "the endpoint has no name";
  by_endpoint.endpoint_host = "endpoint-1";
  ASSERT_TRUE(by_endpoint.prepare());
  EXPECT_EQ(by_endpoint.head.authority, "endpoint-1");
  EXPECT_EQ(by_endpoint.field("x-forwarded-host"), "first, example.com") << "it ends with that already";
  ASSERT_TRUE(follow_endpoint_host(by_endpoint.action, "endpoint-2", by_endpoint.head));
  EXPECT_EQ(by_endpoint.head.authority, "endpoint-2");
  ASSERT_TRUE(follow_endpoint_host(by_endpoint.action, "", by_endpoint.head));
  EXPECT_EQ(by_endpoint.head.authority, "endpoint-2");
}

TEST(PrepareForward, TellsGrpcUpstreamsTheTimeoutInTheirTerms) {
  Forwarding request("/a", {{"grpc-timeout", "9S"}});
  request.for_grpc = request.manager.suppress_envoy_headers = true;
  ASSERT_TRUE(request.prepare());
  EXPECT_EQ(request.field("grpc-timeout"), "15000m");
  EXPECT_EQ(request.field("x-envoy-expected-rq-timeout-ms"), "");
}

TEST(PrepareForward, TellsWhetherATryTimedOutWhenTheVirtualHostAsks) {
  Forwarding request("/a");
  ASSERT_TRUE(set_is_timeout_retry(request.host, request.head, true));
  EXPECT_EQ(request.head.headers.size(), 0u);
  request.host.include_is_timeout_retry_header = true;
  ASSERT_TRUE(set_is_timeout_retry(request.host, request.head, true));
  EXPECT_EQ(request.field("x-envoy-is-timeout-retry"), "true");
  ASSERT_TRUE(set_is_timeout_retry(request.host, request.head, false));
  EXPECT_EQ(request.field("x-envoy-is-timeout-retry"), "false");
}

TEST(PrepareForward, CountsAttemptsWhenTheVirtualHostAsks) {
  Forwarding request("/a", {{"x-envoy-attempt-count", "7"}});
  ASSERT_TRUE(request.prepare());
  EXPECT_EQ(request.field("x-envoy-attempt-count"), "7");
  request.host.include_request_attempt_count = true;
  ASSERT_TRUE(request.prepare());
  EXPECT_EQ(request.field("x-envoy-attempt-count"), "1");
  ASSERT_TRUE(set_attempt_count(request.host, request.head, 2));
  EXPECT_EQ(request.field("x-envoy-attempt-count"), "2");
}

TEST(PrepareForward, MutationsSeeTheRequestBeforeItsRewrites) {
  Forwarding request("/a/b");
  request.action.prefix_rewrite = "/z";
  request.route.headers.request_add.push_back(
      {.name = "x-path", .value = field_format(config::FormatCommand::kReq, ":path"), .action = {}, .keep_empty_value = false});
  ASSERT_TRUE(request.prepare());
  EXPECT_EQ(request.field("x-path"), "/a/b");
}

}  // namespace
}  // namespace millrace::proxy
