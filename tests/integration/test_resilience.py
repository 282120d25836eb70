"""Circuit breakers and outlier detection with two workers, against real origins: one that is slow, one that can be made to fail."""

import concurrent.futures

import pytest

from conftest import bootstrap, gateway_with_two_workers, http_listener
from lab import GATEWAY, HOST, static_cluster, stop, wait_until

GOOD_PORT = 8000
BAD_PORT = 8001
BASE = f"http://{GATEWAY}"
SLOW_SECONDS = 2

# GET /slow takes its time; PUT /fail and PUT /recover say how GET is answered from then on.
ORIGIN = f"""
import http.server, sys, time
status = 200
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, code):
        self.send_response(code); self.send_header("content-length", "0"); self.end_headers()
    def do_GET(self):
        if self.path == "/slow": time.sleep({SLOW_SECONDS})
        self.answer(status)
    def do_PUT(self):
        global status
        status = 503 if self.path == "/fail" else 200
        self.answer(200)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""

LIMITS = {"single": "max_requests: 1, track_remaining: true", "narrow": "max_connections: 1, max_pending_requests: 1"}
DETECTION = ("outlier_detection: {consecutive_5xx: 5, interval: 0.2s, base_ejection_time: 2s, max_ejection_percent: 50}, "
             "common_lb_config: {healthy_panic_threshold: {}}")


@pytest.fixture(scope="module")
def gateway(namespace):
    listeners = "".join(http_listener(name, port, f"[{{match: {{prefix: /}}, route: {{cluster: {name}}}}}]")
                        for name, port in [("single", 80), ("narrow", 81), ("watched", 82)])
    clusters = "".join(static_cluster(name, [(HOST, GOOD_PORT)], f", circuit_breakers: {{thresholds: [{{{limits}}}]}}")
                       for name, limits in LIMITS.items())
    clusters += static_cluster("watched", [(HOST, GOOD_PORT), (HOST, BAD_PORT)], f", {DETECTION}")
    with gateway_with_two_workers(namespace, bootstrap(listeners, clusters)) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def origins(namespace, gateway):
    servers = [namespace.start(["/usr/bin/python3", "-c", ORIGIN, HOST, str(port)]) for port in (GOOD_PORT, BAD_PORT)]
    for port in (GOOD_PORT, BAD_PORT):
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
