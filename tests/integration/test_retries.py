"""Retries against real origins: one that fails each request once, and an endpoint where nobody listens."""

import hashlib

import pytest

from conftest import bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, static_cluster, stop

FLAKY_PORT = 8000
DEAD_PORT = 8001
BASE = f"http://{GATEWAY}"

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

POLICY = """{retry_on: "5xx,connect-failure", num_retries: 3, host_selection_retry_max_attempts: 5, retry_host_predicate: [{
  name: envoy.retry_host_predicates.previous_hosts,
  typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]}"""


@pytest.fixture(scope="module")
def gateway(namespace):
    routes = [f"[{{match: {{prefix: /}}, route: {{cluster: {cluster}{policy}}}}}], include_request_attempt_count: true"
              for cluster, policy in [("flaky", f", retry_policy: {POLICY}"), ("half", f", retry_policy: {POLICY}"), ("half", "")]]
    text = bootstrap(
        http_listener("flaky", 80, routes[0]) + http_listener("half", 81, routes[1]) + http_listener("plain", 82, routes[2]),
        static_cluster("flaky", [(HOST, FLAKY_PORT)]) + static_cluster("half", [(HOST, DEAD_PORT), (HOST, FLAKY_PORT)]))
    with Gateway(namespace, text) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def origin(namespace, gateway):
    server = namespace.start(["/usr/bin/python3", "-c", FLAKY_ORIGIN, HOST, str(FLAKY_PORT)])
    namespace.wait_for_port(HOST, FLAKY_PORT)
    yield server
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
