// Clients and origins that do anything at any time, from a seed. What must hold: no assertion, no leak (the harness looks at
// every pool, buffer and gauge at its end), every request logged exactly once. MR_SEED=n replays one round.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

void configure(config::Listener& listener, config::Cluster& cluster, config::Route& route) {
  listener.buffer_limit_bytes = 8 * 1024;
  cluster.buffer_limit_bytes = 8 * 1024;
  cluster.connect_timeout = Duration::milliseconds(300);
  cluster.http.idle_timeout = Duration::seconds(2);
  cluster.http.max_requests_per_connection = 7;
  auto& http = *listener.chains[0].http();
  http.websocket = true;
  http.enable_trailers = true;
  http.request_headers_timeout = Duration::milliseconds(400);
  http.request_timeout = Duration::seconds(3);
  http.stream_idle_timeout = Duration::seconds(2);
  http.idle_timeout = Duration::seconds(3);
  http.max_requests_per_connection = 9;
  http.max_connection_duration = Duration::seconds(9);
  std::get<config::ForwardAction>(route.action).timeout = Duration::seconds(1);
}

void configure_with_retries(config::Listener& listener, config::Cluster& cluster, config::Route& route) {
  using enum config::RetryCondition;
  configure(listener, cluster, route);
  auto policy = std::make_shared<config::RetryPolicy>();
  for (const auto condition : {k5xx, kReset, kConnectFailure}) policy->conditions.add(condition);
  policy->num_retries = 3;
  policy->per_try_timeout = Duration::milliseconds(400);
  policy->per_try_idle_timeout = Duration::milliseconds(300);
  policy->base_interval = Duration::milliseconds(60);
  policy->max_interval = Duration::milliseconds(600);
  policy->avoid_previous_hosts = true;
  std::get<config::ForwardAction>(route.action).retry = policy;
}

std::string client_text(Rng& rng) {
  switch (rng.below(9)) {
    case 0: return get("/a") + get("/b");
    case 1: return "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 30000\r\n\r\n" + pattern(30'000);
    case 2: return "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\nx: y\r\n\r\n";
    case 3: return "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    case 4: return "hello";
    case 5: return "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    case 6: return "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n";
    case 7: return "GET / HTTP/1.1\r\nho";
    default: return get("/", "connection: close\r\n");
  }
}

std::string origin_text(Rng& rng) {
  switch (rng.below(11)) {
    case 0: return ok("short");
    case 1: return ok(pattern(50'000));
    case 2: return "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n";
    case 3: return "HTTP/1.1 200 OK\r\n\r\nuntil the end";
    case 4: return "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nopaque";
    case 5: return "HTTP/1.1 100 Continue\r\n\r\n";
    case 6: return "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart";
    case 7: return "nonsense\r\n\r\n";
    case 8: return "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    case 9: return "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nbad";
    default: return ok("x", "connection: close\r\n");
  }
}

void act(Rng& rng, Peer& peer, const std::string& text) {
  switch (rng.below(12)) {
    case 0: peer.end(); break;
    case 1: peer.reset(); break;
    case 2: peer.close(); break;
    case 3: peer.set_reading(false); break;
    case 4:
    case 5: peer.set_reading(true); break;
    default: peer.send(text);
  }
}

/// Returns what was logged. Every other seed has retries.
std::string play(std::uint64_t seed) {
  SCOPED_TRACE("MR_SEED=" + std::to_string(seed));
  Rng rng(seed);
  ProxyHarness proxy(seed % 2 == 0 ? configure : configure_with_retries);
  std::vector<Client*> clients;
  for (int step = 0; step < 150; ++step) {
    if (clients.empty() || rng.chance(1, 8)) clients.push_back(&proxy.connect());
    if (rng.chance(1, 2)) {
      const std::string text = client_text(rng);
      act(rng, *clients[rng.below(static_cast<std::uint32_t>(clients.size()))], text);
    }
    const auto origins = static_cast<std::uint32_t>(proxy.origin().connections());
    if (origins > 0 && rng.chance(1, 2)) {
      const std::string text = origin_text(rng);
      act(rng, proxy.origin().connection(rng.below(origins)), text);
    }
    if (rng.chance(1, 40)) proxy.net.close_listener(ProxyHarness::kOrigin);
    if (rng.chance(1, 20)) proxy.net.listen(ProxyHarness::kOrigin, proxy.origin());
    if (rng.chance(1, 60)) {
      const std::uint64_t hash = rng.below(3);
      const bool healthy = rng.chance(4, 5);
      proxy.reconfigure([&](config::Listener& listener, config::Cluster& cluster, auto&) {
        listener.content_hash = hash;
        cluster.endpoints[0].healthy = healthy;
        cluster.healthy_weight = healthy ? 1 : 0;
      });
    }
    if (rng.chance(2, 3)) proxy.run();
    if (rng.chance(1, 4)) proxy.advance(Duration::milliseconds(rng.below(700)));
  }
  if (rng.chance(1, 2)) proxy.proxy->start_drain(proxy.now);
  proxy.advance(Duration::seconds(rng.below(15)));
  proxy.proxy->force_close_all(proxy.now);
  proxy.run();
  const std::string log = proxy.log();
  EXPECT_EQ(static_cast<std::uint64_t>(std::count(log.begin(), log.end(), '|')), proxy.http().downstream_rq_total.value());
  return log;
}

TEST(Proxy_Chaos, NothingBreaksAndNothingLeaks) {
  if (const char* seed = std::getenv("MR_SEED")) {
    play(std::strtoull(seed, nullptr, 10));
    return;
  }
  std::string all = "|";
  for (std::uint64_t seed = 1; seed <= 300 && !HasFailure(); ++seed) all += play(seed);
  // The game is only worth something if it reaches every corner.
  for (const char* outcome : {"200 - via_upstream",
                              "101 - ",
                              "400 DPE",
                              "502 UPE",
                              "503 UF",
                              "503 UC",
                              "504 UT",
                              "408 - ",
                              "408 SI",
                              "0 DC",
                              "200 DC",
                              "200 UC",
                              "200 UT",
                              "101 SI",
                              "101 DC",
                              "101 UC",
                              "503 UH",
                              "503 UF,URX",
                              "503 URX via_upstream",
                              "504 URX,UT upstream_per_try"}) {
    EXPECT_NE(all.find("|" + std::string(outcome)), std::string::npos) << outcome;
  }
}

}  // namespace
}  // namespace millrace::proxy::test
