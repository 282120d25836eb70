"""Routes with the real binary: which of many, by what conditions, and what the origin gets to see."""

import json

import pytest

from conftest import bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, static_cluster, stop

PORT = 8000
BASE = f"http://{GATEWAY}"
MANY = f"http://{GATEWAY}:81"
ROUTES = 20_000

# Answers with the request's target and fields.
ECHO_ORIGIN = r"""
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}}).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
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
    text = bootstrap(listener + http_listener("many", 81, many_routes()),
                     static_cluster("origin", [(HOST, PORT)]) + static_cluster("other", [(HOST, PORT)]) + named)
    with Gateway(namespace, text) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def origin(namespace, gateway):
    server = namespace.start(["/usr/bin/python3", "-c", ECHO_ORIGIN, HOST, str(PORT)])
    namespace.wait_for_port(HOST, PORT)
    yield server
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
