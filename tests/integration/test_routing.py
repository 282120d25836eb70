"""Routes with the real binary: which of many, by what conditions, and what the origin gets to see."""

import hashlib
import json

import pytest

from conftest import bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, static_cluster, stop

PORT = 8000
SHADOW_PORT = 8001
DEAD_PORT = 8002
TUNNEL_PORT = 82
BASE = f"http://{GATEWAY}"
MANY = f"http://{GATEWAY}:81"
ROUTES = 20_000

# Answers with the request's target, fields and body; sends to /redirected/... what asks for /redirected with a status; the first request
# for /slow takes a second. Keeps what others have asked it.
ECHO_ORIGIN = r"""
import hashlib, http.server, json, sys, time
asked, slow = [], []
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        seen = {"path": self.path, "method": self.command, "body": hashlib.sha256(body).hexdigest(),
                **{name.lower(): value for name, value in self.headers.items()}}
        answer = json.dumps(asked if self.path == "/asked" else seen).encode()
        asked.append(seen)
        if self.path == "/slow" and not slow:
            slow.append(1); time.sleep(1)
        self.send_response(int(self.headers.get("x-status", 200)) if self.path == "/redirected" else 200)
        self.send_header("location", f"http://{self.headers['host']}/redirected/there")
        self.send_header("content-length", str(len(answer))); self.end_headers(); self.wfile.write(answer)
    do_POST = do_GET
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""

TEMPLATE = "type.googleapis.com/envoy.extensions.path"
ROUTE_LIST = f"""[
  {{match: {{path_match_policy: {{name: m, typed_config: {{"@type": {TEMPLATE}.match.uri_template.v3.UriTemplateMatchConfig,
      path_template: "/template/{{lang}}/{{rest=**}}"}}}}}},
    route: {{cluster: origin, path_rewrite_policy: {{name: r, typed_config: {{
      "@type": {TEMPLATE}.rewrite.uri_template.v3.UriTemplateRewriteConfig, path_template_rewrite: "/{{rest}}/in-{{lang}}"}}}}}}}},
  {{match: {{prefix: /by-field}}, route: {{cluster_header: x-cluster, cluster_not_found_response_code: NOT_FOUND}}}},
  {{match: {{prefix: /weighted}}, route: {{weighted_clusters: {{header_name: x-random, clusters: [{{name: origin, weight: 1}}, {{name: other,
      weight: 1, request_headers_to_add: [{{header: {{key: x-chosen, value: other}}}}]}}]}}}}}},
  {{match: {{prefix: /tenant/}}, route: {{cluster: origin, append_x_forwarded_host: true, host_rewrite_path_regex: {{
      pattern: {{regex: "^/tenant/([a-z]+)/.*$"}}, substitution: '\\1.example'}}}}}},
  {{match: {{prefix: /endpoint}}, route: {{cluster: named, auto_host_rewrite: true}}}},
  {{match: {{prefix: /grpc, grpc: {{}}}}, route: {{cluster: origin, max_stream_duration: {{grpc_timeout_header_max: 5s}}}}}},
  {{match: {{prefix: /grpc}}, direct_response: {{status: 415}}}},
  {{match: {{prefix: /certificate, tls_context: {{presented: true}}}}, direct_response: {{status: 200}}}},
  {{match: {{prefix: /mirrored}}, route: {{cluster: origin, request_mirror_policies: [{{cluster: shadow}}, {{cluster: nobody}}]}}}},
  {{match: {{prefix: /redirected}}, route: {{cluster: origin, internal_redirect_policy: {{redirect_response_codes: [302, 303]}}}}}},
  {{match: {{prefix: /slow}}, route: {{cluster: origin, hedge_policy: {{hedge_on_per_try_timeout: true}},
      retry_policy: {{retry_on: 5xx, num_retries: 1, per_try_timeout: 0.2s}}}}}},
  {{match: {{path: /parameters}}, direct_response: {{status: 204}}}}], include_attempt_count_in_response: true"""


def many_routes() -> str:
    """Exact paths, prefixes and expressions; behind them one for all."""
    kinds = ["path: /service/{}", "prefix: /service/{}/", "safe_regex: {{regex: '/service/{}-[a-z]+'}}"]
    routes = [f"{{match: {{{kinds[i % 3].format(i)}}}, direct_response: {{status: 200, body: {{inline_string: '{i}'}}}}}}" for i in range(ROUTES)]
    return f"[{', '.join(routes)}, {{match: {{prefix: /}}, direct_response: {{status: 404, body: {{inline_string: none}}}}}}]"


@pytest.fixture(scope="module")
def gateway(namespace):
    listener = http_listener("edge", 80, ROUTE_LIST).replace("virtual_hosts:", "ignore_path_parameters_in_path_matching: true, virtual_hosts:")
    named = static_cluster("named", [(HOST, PORT)]).replace("{endpoint: {", "{endpoint: {hostname: one.internal, ")
    tunnel = http_listener("tunnel", TUNNEL_PORT, '''[{match: {connect_matcher: {}}, route: {cluster: origin, upgrade_configs: [
        {upgrade_type: CONNECT, connect_config: {}}]}}]''')
    text = bootstrap(listener + http_listener("many", 81, many_routes()) + tunnel,
                     static_cluster("origin", [(HOST, PORT)]) + static_cluster("other", [(HOST, PORT)]) + static_cluster("shadow", [(HOST, SHADOW_PORT)]) +
                     static_cluster("nobody", [(HOST, DEAD_PORT)]) + named)
    with Gateway(namespace, text) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def origin(namespace, gateway):
    servers = [namespace.start(["/usr/bin/python3", "-c", ECHO_ORIGIN, HOST, str(port)]) for port in (PORT, SHADOW_PORT)]
    for port in (PORT, SHADOW_PORT):
        namespace.wait_for_port(HOST, port)
    yield servers
    for server in servers:
        stop(server)


def fields_at_origin(curl, *arguments: str) -> dict:
    return json.loads(curl(*arguments))


def status(curl, *arguments: str) -> str:
    return curl("-o", "/dev/null", "-w", "%{http_code}", *arguments)


def test_variables_of_a_path_template_go_into_the_new_path(curl):
    seen = fields_at_origin(curl, f"{BASE}/template/en/a/b?q=1")
    assert seen["path"] == "/a/b/in-en?q=1"
    assert seen["x-envoy-original-path"] == "/template/en/a/b?q=1"


def test_the_request_names_its_cluster(curl):
    assert fields_at_origin(curl, "-H", "x-cluster: origin", f"{BASE}/by-field")["path"] == "/by-field"
    assert status(curl, "-H", "x-cluster: nowhere", f"{BASE}/by-field") == "404"
    assert status(curl, f"{BASE}/by-field") == "404"


def test_the_request_chooses_among_weighted_clusters(curl):
    assert "x-chosen" not in fields_at_origin(curl, "-H", "x-random: 10", f"{BASE}/weighted")
    assert fields_at_origin(curl, "-H", "x-random: 11", f"{BASE}/weighted")["x-chosen"] == "other"


def test_hosts_come_from_the_path_and_from_the_endpoint(curl):
    seen = fields_at_origin(curl, f"{BASE}/tenant/blue/x")
    assert seen["host"] == "blue.example" and seen["x-forwarded-host"] == GATEWAY
    assert fields_at_origin(curl, f"{BASE}/endpoint")["host"] == "one.internal"


def test_grpc_requests_have_routes_and_timeouts_of_their_own(curl):
    seen = fields_at_origin(curl, "-H", "content-type: application/grpc", "-H", "grpc-timeout: 1H", f"{BASE}/grpc")
    assert seen["grpc-timeout"] == "5000m"
    assert status(curl, "-H", "content-type: text/plain", f"{BASE}/grpc") == "415"


def test_conditions_of_certificates_and_paths(curl):
    assert status(curl, f"{BASE}/certificate") == "404", "plain text has none"
    assert status(curl, f"{BASE}/parameters;v=1") == "204"


def test_responses_tell_the_attempts(curl):
    assert "x-envoy-attempt-count: 1" in curl("-D", "-", "-o", "/dev/null", f"{BASE}/endpoint").lower()


def test_the_right_one_of_many_routes_is_found(curl):
    last = ROUTES - 1
    for i in [0, 1, 2, ROUTES // 2, last - 2, last - 1, last]:
        path = ["/service/{}", "/service/{}/deep/er", "/service/{}-abc"][i % 3].format(i)
        assert curl(f"{MANY}{path}") == str(i)
    assert curl(f"{MANY}/service/0/") == "none"
    assert curl(f"{MANY}/service/2-ABC") == "none"


def test_a_mirror_gets_the_same_request_and_the_client_hears_nothing_of_it(curl, namespace, tmp_path):
    body = hashlib.shake_256(b"mirrored").digest(600_000)
    (tmp_path / "body").write_bytes(body)
    seen = fields_at_origin(curl, "--data-binary", f"@{tmp_path}/body", "-H", "Expect:", f"{BASE}/mirrored?a=b")
    assert seen["body"] == hashlib.sha256(body).hexdigest() and seen["host"] == GATEWAY
    copies = json.loads(curl(f"http://{HOST}:{SHADOW_PORT}/asked"))
    assert [(copy["path"], copy["method"], copy["body"], copy["host"]) for copy in copies] == [
        ("/mirrored?a=b", "POST", seen["body"], f"{GATEWAY}-shadow")]


def test_a_redirect_is_followed_inside(curl):
    seen = fields_at_origin(curl, "-H", "x-status: 302", "-d", "some body", f"{BASE}/redirected")
    assert (seen["path"], seen["method"], seen["body"]) == ("/redirected/there", "POST", hashlib.sha256(b"some body").hexdigest())
    assert seen["x-envoy-original-url"] == f"{BASE}/redirected"
    seen = fields_at_origin(curl, "-H", "x-status: 303", "-d", "some body", f"{BASE}/redirected")
    assert (seen["method"], seen["body"]) == ("GET", hashlib.sha256(b"").hexdigest())
    assert status(curl, "-H", "x-status: 301", f"{BASE}/redirected") == "301"


def test_a_second_try_overtakes_a_slow_one(gateway, curl):
    before = gateway.stats()
    assert float(curl("-o", "/dev/null", "-w", "%{time_total}", f"{BASE}/slow")) < 0.9
    after = gateway.stats()
    assert after["cluster.origin.upstream_rq_per_try_timeout"] - before["cluster.origin.upstream_rq_per_try_timeout"] == 1


def test_a_tunnel_ends_at_the_gateway(curl):
    seen = fields_at_origin(curl, "--proxytunnel", "--proxy", f"http://{GATEWAY}:{TUNNEL_PORT}", "http://any.example/through")
    assert seen["path"] == "/through" and seen["host"] == "any.example"
    assert "x-request-id" not in seen, "what passes is opaque"
