"""Circuit breakers, lives of connections and outlier detection with two workers, against real origins: they are slow when they are asked
for it, one can be made to fail, and one is not there."""

import concurrent.futures
import time

import pytest

from conftest import bootstrap, gateway_with_two_workers, http_listener
from lab import GATEWAY, HOST, static_cluster, stop, wait_until

GOOD_PORT = 8000
BAD_PORT = 8001
THIRD_PORT = 8002
DEAD_PORT = 8003
MANY_PORT, SHORT_PORT = 83, 84
BASE = f"http://{GATEWAY}"
MANY = f"{BASE}:{MANY_PORT}"
SLOW_SECONDS = 2

# GET /slow takes its time, and what ends with /pause less of it; PUT /fail, /error and /recover say how GET is answered from then on.
ORIGIN = f"""
import http.server, sys, time
status = 200
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, code):
        self.send_response(code); self.send_header("content-length", "0"); self.end_headers()
    def do_GET(self):
        if self.path == "/slow": time.sleep({SLOW_SECONDS})
        if self.path.endswith("/pause"): time.sleep(0.3)
        self.answer(status)
    def do_PUT(self):
        global status
        status = {{"/fail": 503, "/error": 500, "/recover": 200}}[self.path]
        self.answer(200)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""

LIMITS = {"single": "max_requests: 1, track_remaining: true", "narrow": "max_connections: 1, max_pending_requests: 1"}
DETECTION = ("outlier_detection: {consecutive_5xx: 5, interval: 0.2s, base_ejection_time: 2s, max_ejection_percent: 50}, "
             "common_lb_config: {healthy_panic_threshold: {}}")

# Endpoints and fields of clusters that paths of their names lead to. Who is ejected stays so.
PROTOCOL = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
NO_RUNS = "interval: 1s, base_ejection_time: 300s, max_ejection_percent: 50, enforcing_consecutive_5xx: 0"
MANY_CLUSTERS = {
    "hosts": ([GOOD_PORT, BAD_PORT], ", circuit_breakers: {per_host_thresholds: [{max_connections: 1}]}"),
    "pools": ([GOOD_PORT, BAD_PORT], ", circuit_breakers: {thresholds: [{max_connection_pools: 1}]}"),
    "short": ([GOOD_PORT], ", typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"
                           f"\"@type\": {PROTOCOL}, "
                           "explicit_http_config: {http_protocol_options: {}}, common_http_protocol_options: {max_requests_per_connection: 3}}}"),
    "gateways": ([GOOD_PORT, BAD_PORT], f", outlier_detection: {{{NO_RUNS}, consecutive_gateway_failure: 3, enforcing_success_rate: 0, "
                                        "enforcing_consecutive_gateway_failure: 100}"),
    "local": ([GOOD_PORT, DEAD_PORT], f", outlier_detection: {{{NO_RUNS}, split_external_local_origin_errors: true, "
                                      "consecutive_local_origin_failure: 4}"),
    "rates": ([GOOD_PORT, BAD_PORT, THIRD_PORT], f", outlier_detection: {{{NO_RUNS}, success_rate_minimum_hosts: 3, success_rate_request_volume: 5, "
                                                 "success_rate_stdev_factor: 1000}"),
    "percent": ([GOOD_PORT, BAD_PORT], f", outlier_detection: {{{NO_RUNS}, enforcing_success_rate: 0, enforcing_failure_percentage: 100, "
                                       "failure_percentage_minimum_hosts: 2, failure_percentage_request_volume: 5, "
                                       "failure_percentage_threshold: 60}"),
}


@pytest.fixture(scope="module")
def gateway(namespace):
    listeners = "".join(http_listener(name, port, f"[{{match: {{prefix: /}}, route: {{cluster: {name}}}}}]")
                        for name, port in [("single", 80), ("narrow", 81), ("watched", 82)])
    clusters = "".join(static_cluster(name, [(HOST, GOOD_PORT)], f", circuit_breakers: {{thresholds: [{{{limits}}}]}}")
                       for name, limits in LIMITS.items())
    clusters += static_cluster("watched", [(HOST, GOOD_PORT), (HOST, BAD_PORT)], f", {DETECTION}")
    paths = ", ".join(f"{{match: {{prefix: /{name}}}, route: {{cluster: {name}}}}}" for name in MANY_CLUSTERS)
    listeners += http_listener("many", MANY_PORT, f"[{paths}]")
    listeners += http_listener("few", SHORT_PORT, "[{match: {prefix: /}, direct_response: {status: 200}}]",
                               manager="common_http_protocol_options: {max_requests_per_connection: 2}")
    clusters += "".join(static_cluster(name, [(HOST, port) for port in ports], f", common_lb_config: {{healthy_panic_threshold: {{}}}}{fields}")
                        for name, (ports, fields) in MANY_CLUSTERS.items())
    with gateway_with_two_workers(namespace, bootstrap(listeners, clusters)) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def origins(namespace, gateway):
    servers = [namespace.start(["/usr/bin/python3", "-c", ORIGIN, HOST, str(port)]) for port in (GOOD_PORT, BAD_PORT, THIRD_PORT)]
    for port in (GOOD_PORT, BAD_PORT, THIRD_PORT):
        namespace.wait_for_port(HOST, port)
    yield
    for server in servers:
        stop(server)


def at_the_same_time(curl, url: str, count: int) -> list[str]:
    """The status and x-envoy-overloaded of each answer."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        answers = [pool.submit(curl, "-o", "/dev/null", "-w", "%{http_code} %header{x-envoy-overloaded}", url) for _ in range(count)]
        return [answer.result() for answer in answers]


def test_one_request_at_a_time_over_both_workers(gateway, curl):
    answers = at_the_same_time(curl, f"{BASE}/slow", 8)
    assert sorted(answers) == ["200 "] + ["503 true"] * 7
    stats = gateway.stats("^cluster.single.")
    assert stats["cluster.single.upstream_rq_pending_overflow"] == 7
    assert stats["cluster.single.circuit_breakers.default.rq_open"] == 0
    assert stats["cluster.single.circuit_breakers.default.remaining_rq"] == 1


def test_the_gauges_say_that_nothing_is_left(gateway, curl):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(curl, "-o", "/dev/null", "-w", "%{http_code}", f"{BASE}/slow")
        prefix = "cluster.single.circuit_breakers.default"
        wait_until(lambda: gateway.stats(f"^{prefix}")[f"{prefix}.rq_open"] == 1, SLOW_SECONDS, "an open circuit breaker")
        assert gateway.stats(f"^{prefix}")[f"{prefix}.remaining_rq"] == 0
        assert answer.result() == "200"


def test_a_connection_for_each_worker_and_one_request_that_waits(gateway, curl):
    answers = at_the_same_time(curl, f"{BASE}:81/slow", 8)
    served = answers.count("200 ")
    assert 1 <= served <= 3
    assert answers.count("503 true") == 8 - served
    stats = gateway.stats("^cluster.narrow.upstream")
    assert stats["cluster.narrow.upstream_rq_pending_overflow"] == 8 - served
    assert 1 <= stats["cluster.narrow.upstream_cx_total"] <= 2


def test_an_endpoint_that_fails_is_ejected_and_comes_back(gateway, curl):
    def ejected() -> bool:
        stats = gateway.stats("^cluster.watched.")
        assert stats["cluster.watched.membership_healthy"] == 2 - stats["cluster.watched.outlier_detection.ejections_active"]
        return stats["cluster.watched.outlier_detection.ejections_active"] == 1

    def flags() -> str:
        line = f"watched::{HOST}:{BAD_PORT}::health_flags::"
        return next(row for row in gateway.admin("/clusters").splitlines() if row.startswith(line)).removeprefix(line)

    def get() -> str:
        return curl("-o", "/dev/null", "-w", "%{http_code}", f"{BASE}:82/")

    assert [get() for _ in range(10)] == ["200"] * 10
    curl("-X", "PUT", f"http://{HOST}:{BAD_PORT}/fail")
    codes = []
    while not ejected():
        codes.append(get())
        assert len(codes) < 100
    assert codes.count("503") == 5
    assert flags() == "/failed_outlier_check"
    curl("-X", "PUT", f"http://{HOST}:{BAD_PORT}/recover")
    wait_until(lambda: not ejected(), 10, "the endpoint's return")
    assert flags() == "healthy"
    stats = gateway.stats("^cluster.watched.outlier_detection")
    assert stats["cluster.watched.outlier_detection.ejections_enforced_consecutive_5xx"] == 1
    assert stats["cluster.watched.outlier_detection.ejections_enforced_total"] == 1
    assert [get() for _ in range(10)] == ["200"] * 10


def codes_of(curl, name: str, count: int) -> list[str]:
    """Statuses of requests one after the other for a path of MANY_CLUSTERS."""
    return curl("-o", "/dev/null", "-w", "%{http_code}\\n", f"{MANY}/{name}/[1-{count}]").split()


@pytest.fixture
def origin_says(curl):
    """Tells the bad origin how to answer."""
    def tell(what: str):
        curl("-X", "PUT", f"http://{HOST}:{BAD_PORT}/{what}")
    yield tell
    tell("recover")


def test_an_endpoint_has_a_limit_of_connections(gateway, curl):
    assert at_the_same_time(curl, f"{MANY}/hosts/pause", 12) == ["200 "] * 12, "those that find none wait"
    total = gateway.stats("^cluster.hosts.upstream_cx_total")["cluster.hosts.upstream_cx_total"]
    assert 2 <= total <= 4, "one to each endpoint, and at most one more by the worker that has none"


def test_a_cluster_has_a_limit_of_pools(gateway, curl):
    answers = at_the_same_time(curl, f"{MANY}/pools/pause", 12)
    served = answers.count("200 ")
    assert 1 <= served < 12 and answers.count("503 ") == 12 - served, answers
    stats = gateway.stats("^cluster.pools")
    assert stats["cluster.pools.upstream_cx_pool_overflow"] == 12 - served
    assert stats["cluster.pools.circuit_breakers.default.cx_pool_open"] == 1


def test_connections_end_after_some_requests(gateway, namespace, curl):
    assert codes_of(curl, "short", 9) == ["200"] * 9
    stats = gateway.stats("^cluster.short.upstream_cx")
    assert stats["cluster.short.upstream_cx_max_requests"] == stats["cluster.short.upstream_cx_total"] == 3
    connects = curl("-o", "/dev/null", "-w", "%{num_connects}", f"{BASE}:{SHORT_PORT}/[1-6]")
    assert connects == "101010"
    assert gateway.stats("^http.few")["http.few.downstream_cx_max_requests_reached"] == 3


def ejections(gateway, name: str, kind: str) -> int:
    return gateway.stats(f"^cluster.{name}.outlier")[f"cluster.{name}.outlier_detection.ejections_enforced_{kind}"]


def test_errors_of_gateways_eject(gateway, curl, origin_says):
    origin_says("error")
    assert codes_of(curl, "gateways", 20).count("500") == 10
    assert ejections(gateway, "gateways", "total") == 0
    origin_says("fail")
    assert codes_of(curl, "gateways", 20).count("503") == 3
    assert ejections(gateway, "gateways", "consecutive_gateway_failure") == 1


def test_who_is_not_there_is_ejected(gateway, curl):
    assert codes_of(curl, "local", 20).count("503") == 4
    assert ejections(gateway, "local", "consecutive_local_origin_failure") == 1


@pytest.mark.parametrize("name, kind", [("rates", "success_rate"), ("percent", "failure_percentage")])
def test_who_is_worse_than_others_is_ejected(gateway, curl, origin_says, name, kind):
    def ejected() -> bool:
        codes_of(curl, name, 30)
        return ejections(gateway, name, kind) > 0

    assert codes_of(curl, name, 30) == ["200"] * 30
    time.sleep(1.2)
    assert ejections(gateway, name, "total") == 0
    origin_says("fail")
    wait_until(ejected, 10, f"an ejection by {kind}")
    assert codes_of(curl, name, 30) == ["200"] * 30
    assert f"{name}::{HOST}:{BAD_PORT}::health_flags::/failed_outlier_check" in gateway.admin("/clusters")
