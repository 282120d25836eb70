"""Retries against real origins: one that fails each request once, one that answers each try as it is told, and an endpoint where nobody
listens."""

import hashlib
import subprocess
import time

import pytest

from conftest import bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, static_cluster, stop, wait_until

FLAKY_PORT = 8000
DEAD_PORT = 8001
PLANNED_PORTS = [8002, 8003]
BASE = f"http://{GATEWAY}"
PLANNED = f"{BASE}:83"

# Fails the first request for each path: GET by 503, PUT by a reset once the body is there. Then it answers with the body's SHA-256 and
# the attempt count.
FLAKY_ORIGIN = r"""
import hashlib, http.server, socket, struct, sys
seen = set()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, body=b""):
        self.send_response(status); self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def serve(self):
        digest, left = hashlib.sha256(), int(self.headers.get("content-length", 0))
        while left:
            block = self.rfile.read1(min(left, 1 << 20))
            if not block: return
            digest.update(block); left -= len(block)
        first = self.path not in seen
        seen.add(self.path)
        if first and self.command == "PUT":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        elif first:
            self.answer(503)
        else:
            self.answer(200, (digest.hexdigest() + " attempt " + self.headers.get("x-envoy-attempt-count", "?")).encode())
    do_GET = do_PUT = serve
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""

# Answers each try by its part of x-plan, a status and fields: "503 429/retry-after=1 200"; the last part is for all that follow. Says in
# the body at which port it has got which attempt. Each "~" before a part takes a second.
PLANNED_ORIGIN = r"""
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        attempt = int(self.headers["x-envoy-attempt-count"])
        plan = self.headers["x-plan"].split(" ")
        part = plan[min(attempt, len(plan)) - 1]
        time.sleep(part.count("~"))
        status, *fields = part.lstrip("~").split("/")
        body = f"{sys.argv[2]} {attempt}".encode()
        self.send_response(int(status))
        for field in fields: self.send_header(*field.split("="))
        self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
class Server(http.server.ThreadingHTTPServer): request_queue_size = 128
Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""

# Path -> the policy of its route, besides a short wait before each retry; cluster of its route.
PREDICATE = "type.googleapis.com/envoy.extensions.retry"
PLANS = {
    "4xx": ("retry_on: retriable-4xx", "planned"),
    "codes": ("retry_on: retriable-status-codes, retriable_status_codes: [418, 425]", "planned"),
    "fields": ("retry_on: retriable-headers, retriable_headers: [{name: x-again, string_match: {exact: please}}]", "planned"),
    "asked": ("retry_on: 5xx, retriable_request_headers: [{name: x-may-repeat, present_match: true}]", "planned"),
    "grpc": ("retry_on: 'cancelled,unavailable'", "planned"),
    "told": ("retry_on: 'retriable-status-codes', retriable_status_codes: [429], rate_limited_retry_back_off: {max_interval: 2s, "
             "reset_headers: [{name: retry-after, format: SECONDS}, {name: x-reset, format: UNIX_TIMESTAMP}]}", "planned"),
    "stable": ("retry_on: 5xx, host_selection_retry_max_attempts: 10, retry_host_predicate: [{name: p, typed_config: {"
               f"\"@type\": {PREDICATE}.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate}}}}]", "canary"),
    "next": ("retry_on: 5xx, retry_priority: {name: p, typed_config: {update_frequency: 1, "
             f"\"@type\": {PREDICATE}.priority.previous_priorities.v3.PreviousPrioritiesConfig}}}}", "priorities"),
    "budget": ("retry_on: 5xx", "budget"), "held": ("retry_on: reset", "budget"), "first": ("retry_on: reset", "canary"),
}

POLICY = """{retry_on: "5xx,connect-failure", num_retries: 3, host_selection_retry_max_attempts: 5, retry_host_predicate: [{
  name: envoy.retry_host_predicates.previous_hosts,
  typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]}"""


@pytest.fixture(scope="module")
def gateway(namespace):
    routes = [f"[{{match: {{prefix: /}}, route: {{cluster: {cluster}{policy}}}}}], include_request_attempt_count: true"
              for cluster, policy in [("flaky", f", retry_policy: {POLICY}"), ("half", f", retry_policy: {POLICY}"), ("half", "")]]
    plans = ", ".join(f"{{match: {{prefix: /{path}}}, route: {{cluster: {cluster}, retry_policy: {{{policy}, num_retries: 1, "
                      "retry_back_off: {base_interval: 0.01s}}}}" for path, (policy, cluster) in PLANS.items())
    first, second = (f"{{endpoint: {{address: {{socket_address: {{address: {HOST}, port_value: {port}}}}}}}" for port in PLANNED_PORTS)
    canary = f"{{lb_endpoints: [{first}}}, {second}, metadata: {{filter_metadata: {{envoy.lb: {{canary: true}}}}}}}}]}}"
    priorities = f"{{lb_endpoints: [{first}}}]}}, {{lb_endpoints: [{second}}}], priority: 1}}"
    planned = [(HOST, PLANNED_PORTS[0])]
    text = bootstrap(
        http_listener("flaky", 80, routes[0]) + http_listener("half", 81, routes[1]) + http_listener("plain", 82, routes[2]) +
        http_listener("planned", 83, f"[{plans}], include_request_attempt_count: true"),
        static_cluster("flaky", [(HOST, FLAKY_PORT)]) + static_cluster("half", [(HOST, DEAD_PORT), (HOST, FLAKY_PORT)]) +
        static_cluster("planned", planned) +
        static_cluster("budget", planned, ", circuit_breakers: {thresholds: [{retry_budget: {budget_percent: {value: 20}, "
                                          "min_retry_concurrency: 1}}]}") +
        "".join(f"  - {{name: {name}, load_assignment: {{cluster_name: {name}, endpoints: [{groups}]}}}}\n"
                for name, groups in [("canary", canary), ("priorities", priorities)]))
    with Gateway(namespace, text) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def origin(namespace, gateway):
    programs = {FLAKY_PORT: FLAKY_ORIGIN, **dict.fromkeys(PLANNED_PORTS, PLANNED_ORIGIN)}
    servers = [namespace.start(["/usr/bin/python3", "-c", program, HOST, str(port)]) for port, program in programs.items()]
    for port in programs:
        namespace.wait_for_port(HOST, port)
    yield servers
    for server in servers:
        stop(server)


def test_a_request_that_gets_503_is_tried_again(gateway, curl):
    assert curl(f"{BASE}/first").endswith("attempt 2")
    stats = gateway.stats("^cluster.flaky.upstream_rq_retry")
    assert stats["cluster.flaky.upstream_rq_retry"] == 1
    assert stats["cluster.flaky.upstream_rq_retry_success"] == 1


def test_a_body_arrives_whole_in_the_second_try(gateway, curl, tmp_path):
    body = hashlib.shake_256(b"body").digest(700_000)
    (tmp_path / "body").write_bytes(body)
    answer = curl("-T", str(tmp_path / "body"), "-H", "Expect:", f"{BASE}/upload")
    assert answer == f"{hashlib.sha256(body).hexdigest()} attempt 2"


def test_a_body_that_is_too_large_to_be_kept_is_not_tried_again(gateway, curl, tmp_path):
    (tmp_path / "body").write_bytes(bytes(3_000_000))
    assert curl("-o", "/dev/null", "-w", "%{http_code}", "-T", str(tmp_path / "body"), "-H", "Expect:", f"{BASE}/large") == "503"
    assert gateway.stats()["cluster.flaky.retry_or_shadow_abandoned"] == 1


def test_an_endpoint_that_refuses_is_not_noticed(gateway, curl):
    curl(f"{BASE}/known")
    codes = [curl("-o", "/dev/null", "-w", "%{http_code}", f"{BASE}:81/known") for _ in range(10)]
    assert codes == ["200"] * 10
    without = [curl("-o", "/dev/null", "-w", "%{http_code}", f"{BASE}:82/known") for _ in range(10)]
    assert sorted(set(without)) == ["200", "503"]


@pytest.fixture
def attempts(curl):
    """Status and number of the attempt of the answer to a request for a path by a plan."""
    def run(path: str, plan: str, *arguments: str) -> tuple[str, str]:
        body, code = curl("-w", " %{http_code}", "-H", f"x-plan: {plan}", *arguments, f"{PLANNED}/{path}").rsplit(" ", 1)
        return code, body.split(" ")[-1]
    return run


def test_conditions_of_statuses_and_fields(attempts):
    assert attempts("4xx", "409 200") == ("200", "2")
    assert attempts("4xx", "404 200") == ("404", "1"), "409 is the only one"
    assert attempts("codes", "425 200") == ("200", "2")
    assert attempts("codes", "503 200") == ("503", "1")
    assert attempts("fields", "200/x-again=please 200") == ("200", "2")
    assert attempts("fields", "503/x-again=no 200") == ("503", "1")
    assert attempts("asked", "503 200", "-H", "x-may-repeat: 1") == ("200", "2")
    assert attempts("asked", "503 200") == ("503", "1")


def test_a_grpc_status_is_a_condition(attempts):
    grpc = ["-H", "content-type: application/grpc"]
    for number, tries in [(1, "2"), (14, "2"), (5, "1"), (0, "1")]:
        assert attempts("grpc", f"200/grpc-status={number} 200/grpc-status=0", *grpc) == ("200", tries), number
    assert attempts("grpc", "503 200", *grpc)[1] == "1", "no condition of HTTP's"


def test_an_internal_client_asks_for_retries(attempts):
    wish = ["-H", "x-envoy-retry-on: retriable-status-codes", "-H", "x-envoy-retriable-status-codes: 404"]
    assert attempts("held", "404 200", *wish, "-H", "x-forwarded-for: 10.0.0.7") == ("200", "2")
    assert attempts("held", "404 200", *wish, "-H", "x-forwarded-for: 203.0.113.7") == ("404", "1")
    more = ["-H", "x-envoy-max-retries: 3", "-H", "x-forwarded-for: 10.0.0.7"]
    assert attempts("codes", "418 418 425 200", *more) == ("200", "4")


def test_a_response_says_when_to_come_again(gateway, attempts):
    def taken(plan: str) -> float:
        began = time.monotonic()
        assert attempts("told", plan) == ("200", "2")
        return time.monotonic() - began

    assert taken("429 200") < 1
    assert taken("429/retry-after=1 200") >= 1
    assert taken(f"429/x-reset={int(time.time()) + 2} 200") >= 0.9
    assert taken("429/retry-after=60 200") < 1, "longer than max_interval"
    stats = gateway.stats("^cluster.planned.upstream_rq_retry_backoff")
    assert stats["cluster.planned.upstream_rq_retry_backoff_ratelimited"] == 2


def test_a_canary_is_not_asked_again(curl):
    def port(path: str, plan: str) -> str:
        return curl("-H", f"x-plan: {plan}", f"{PLANNED}/{path}").split(" ")[0]

    stable, canary = map(str, PLANNED_PORTS)
    assert {port("first", "200") for _ in range(4)} == {stable, canary}, "the first try may go there"
    assert [port("stable", "503 200") for _ in range(8)] == [stable] * 8


def test_another_priority_is_asked_next(curl):
    answers = [curl("-H", f"x-plan: {plan}", f"{PLANNED}/next") for plan in ("200", "503 200")]
    assert answers == [f"{PLANNED_PORTS[0]} 1", f"{PLANNED_PORTS[1]} 2"]


def test_retries_are_a_part_of_all_requests(gateway, namespace):
    """A fifth of them, at least one."""
    def start(path: str, plan: str, count: int) -> subprocess.Popen:
        return namespace.start(["curl", "-sS", "-Z", "--parallel-immediate", "--parallel-max", str(count), "--max-time", "20",
                                "-H", f"x-plan: {plan}", "-w", "%{http_code}\\n", "-o", "/dev/null", f"{PLANNED}/{path}?[1-{count}]"], stdout=subprocess.PIPE, text=True)

    def codes_of(process: subprocess.Popen) -> list[str]:
        return sorted(process.communicate(timeout=20)[0].split())

    assert codes_of(start("budget", "503 ~200", 4)) == ["200"] + ["503"] * 3
    assert gateway.stats("^cluster.budget.upstream_rq_retry")["cluster.budget.upstream_rq_retry_overflow"] == 3
    held = start("held", "~~~200", 20)
    wait_until(lambda: gateway.stats("^cluster.budget.upstream_rq_active")["cluster.budget.upstream_rq_active"] == 20, 5, "20 requests")
    assert codes_of(start("budget", "503 ~200", 4)) == ["200"] * 4
    assert codes_of(held) == ["200"] * 20
