"""Routes with the real binary: which of many, by what conditions, and what the origin gets to see."""

import hashlib
import json
import time

import pytest

from conftest import bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, static_cluster, stop, wait_until

PORT = 8000
SHADOW_PORT = 8001
DEAD_PORT = 8002
CHAT_PORT = 8003
TUNNEL_PORT = 82
CONDITIONS_PORT = 83
BASE = f"http://{GATEWAY}"
MANY = f"http://{GATEWAY}:81"
CONDITIONS = f"http://{GATEWAY}:{CONDITIONS_PORT}"
ROUTES = 20_000

# Answers with the request's target, fields and body; sends to /redirected/... what asks for /redirected with a status; the first request
# for /slow takes a second, and each with x-wait that many; with x-drip the body comes in parts, 0.2 s apart. Keeps what others have asked it.
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
        time.sleep(float(self.headers.get("x-wait", 0)))
        self.send_response(int(self.headers.get("x-status", 200)) if self.path == "/redirected" else 200)
        self.send_header("location", f"http://{self.headers['host']}/redirected/there")
        self.send_header("content-length", str(len(answer))); self.end_headers()
        parts = int(self.headers.get("x-drip", 1))
        for i in range(parts):
            if i: time.sleep(0.2)
            self.wfile.write(answer[i * len(answer) // parts:(i + 1) * len(answer) // parts])
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

# Whether each holds is told by the status.
CONDITION_LIST = """[
  {match: {prefix: /chat}, route: {cluster: chat, upgrade_configs: [{upgrade_type: websocket}]}},
  {match: {prefix: /no-chat}, route: {cluster: chat}},
  {match: {prefix: /books/}, route: {cluster: origin, regex_rewrite: {pattern: {regex: "/([a-z]+)/([0-9]+)"}, substitution: '/\\2-\\1'}}},
  {match: {path_separated_prefix: /api/v1}, route: {cluster: origin, prefix_rewrite: /v2},
    response_headers_to_add: [{header: {key: x-told, value: "%RESPONSE_CODE% %RESP(LOCATION)%"}}]},
  {match: {prefix: /query, query_parameters: [{name: debug, present_match: true}, {name: id, string_match: {safe_regex: {regex: "[0-9]+"}}}]},
    direct_response: {status: 204}},
  {match: {prefix: /inverted, headers: [{name: x-internal, present_match: true, invert_match: true},
      {name: x-kind, string_match: {exact: robot}, invert_match: true}]}, direct_response: {status: 204}},
  {match: {prefix: /inverted-or-missing, headers: [{name: x-kind, string_match: {exact: robot}, invert_match: true,
      treat_missing_header_as_empty: true}]}, direct_response: {status: 204}},
  {match: {prefix: /idle}, route: {cluster: origin, retry_policy: {num_retries: 0, per_try_idle_timeout: 0.7s}}},
  {match: {prefix: /timed}, route: {cluster: origin}}]"""

# A WebSocket server, which says hello and sends back what it gets in capital letters, and its client, which says what it has got; as RFC
# 6455 has them, with nothing of any library.
WEBSOCKET = r"""
import base64, hashlib, itertools, os, socket, struct, sys

def send(file, opcode, data, mask=b""):
    size, masked = len(data), 0x80 if mask else 0
    length = bytes([masked | size]) if size < 126 else bytes([masked | 126]) + struct.pack(">H", size)
    file.write(bytes([0x80 | opcode]) + length + mask + bytes(a ^ b for a, b in zip(data, itertools.cycle(mask or b"\0"))))
    file.flush()

def receive(file):
    first, size = file.read(2)
    mask, size = size & 0x80, size & 0x7f
    if size == 126: size = struct.unpack(">H", file.read(2))[0]
    key = file.read(4) if mask else b"\0"
    return first & 0x0f, bytes(a ^ b for a, b in zip(file.read(size), itertools.cycle(key)))

def head(file):
    first, *fields = iter(lambda: file.readline().decode().strip(), "")
    return first, {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}

def accepts(key):
    return base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()

def serve(address):
    server = socket.create_server(address)
    while True:
        peer, _ = server.accept()
        with peer, peer.makefile("rwb") as file:
            _, fields = head(file)
            assert (fields["upgrade"].lower(), fields["connection"].lower()) == ("websocket", "upgrade"), fields
            file.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: " +
                       accepts(fields["sec-websocket-key"]).encode() + b"\r\n\r\n")
            send(file, 1, b"hello")
            opcode = 1
            while opcode != 8:
                opcode, data = receive(file)
                send(file, opcode, data.upper() if opcode == 1 else data)

def talk(address):
    key = base64.b64encode(os.urandom(16)).decode()
    with socket.create_connection(address, timeout=10) as peer, peer.makefile("rwb") as file:
        file.write(f"GET /chat HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n"
                   f"sec-websocket-key: {key}\r\n\r\n".encode())
        file.flush()
        status, fields = head(file)
        assert status.startswith("HTTP/1.1 101") and fields["sec-websocket-accept"] == accepts(key), (status, fields)
        heard = [receive(file)]
        for text in ("small", "large " * 10000):
            send(file, 1, text.encode(), os.urandom(4))
            heard.append(receive(file))
        send(file, 8, b"\x03\xe8", os.urandom(4))
        heard.append(receive(file))
        print([(opcode, len(data), data[:6]) for opcode, data in heard], file.read())

{"serve": serve, "talk": talk}[sys.argv[1]]((sys.argv[2], int(sys.argv[3])))
"""


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
    text = bootstrap(listener + http_listener("many", 81, many_routes()) + tunnel +
                     http_listener("conditions", CONDITIONS_PORT, CONDITION_LIST),
                     static_cluster("origin", [(HOST, PORT)]) + static_cluster("other", [(HOST, PORT)]) + static_cluster("shadow", [(HOST, SHADOW_PORT)]) +
                     static_cluster("nobody", [(HOST, DEAD_PORT)]) + static_cluster("chat", [(HOST, CHAT_PORT)]) + named)
    with Gateway(namespace, text) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def origin(namespace, gateway):
    servers = [namespace.start(["/usr/bin/python3", "-c", ECHO_ORIGIN, HOST, str(port)]) for port in (PORT, SHADOW_PORT)]
    servers.append(namespace.start(["/usr/bin/python3", "-c", WEBSOCKET, "serve", HOST, str(CHAT_PORT)]))
    for port in (PORT, SHADOW_PORT, CHAT_PORT):
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


def test_a_websocket_carries_frames_both_ways(gateway, namespace, curl):
    heard = namespace.output(["/usr/bin/python3", "-c", WEBSOCKET, "talk", GATEWAY, str(CONDITIONS_PORT)], timeout=20).strip()
    assert heard == str([(1, 5, b"hello"), (1, 5, b"SMALL"), (1, 60_000, b"LARGE "), (8, 2, b"\x03\xe8")]) + " b''"
    assert gateway.stats("^http.conditions")["http.conditions.downstream_cx_upgrades_total"] == 1
    wait_until(lambda: gateway.stats("^http.conditions")["http.conditions.downstream_cx_upgrades_active"] == 0, 5, "the end of the upgrade")
    asks = ["-H", "upgrade: websocket", "-H", "connection: upgrade"]
    assert status(curl, *asks, f"{CONDITIONS}/no-chat") == "403", "a route that does not allow it"


def test_an_expression_rewrites_the_path_and_leaves_the_query(curl):
    seen = fields_at_origin(curl, f"{CONDITIONS}/books/novel/12/page/3?of=/a/1")
    assert seen["path"] == "/books/12-novel/3-page?of=/a/1", "every match of it"
    assert seen["x-envoy-original-path"] == "/books/novel/12/page/3?of=/a/1"


def test_a_prefix_ends_at_a_slash(curl):
    for path, rewritten in [("/api/v1", "/v2"), ("/api/v1/users", "/v2/users"), ("/api/v1?a=b", "/v2?a=b")]:
        assert fields_at_origin(curl, CONDITIONS + path)["path"] == rewritten
    assert status(curl, f"{CONDITIONS}/api/v10") == "404"


def test_fields_that_a_route_adds_tell_of_the_response(curl):
    head = curl("-D", "-", "-o", "/dev/null", f"{CONDITIONS}/api/v1")
    assert f"x-told: 200 http://{GATEWAY}:{CONDITIONS_PORT}/redirected/there\n" in head


def test_query_parameters_choose_a_route(curl):
    for query, expected in [("debug&id=42", "204"), ("id=42&debug=no&id=x", "204"), ("id=42", "404"), ("debug=1&id=4x", "404"), ("debug=1", "404")]:
        assert status(curl, f"{CONDITIONS}/query?{query}") == expected, query


def test_conditions_of_fields_are_inverted(curl):
    human, robot, inside = ["-H", "x-kind: human"], ["-H", "x-kind: robot"], ["-H", "x-internal: 1"]
    for fields, expected in [(human, "204"), (robot, "404"), (human + inside, "404"), ([], "404")]:
        assert status(curl, *fields, f"{CONDITIONS}/inverted") == expected, "a value that is missing is no other value"
    for fields, expected in [(human, "204"), (robot, "404"), ([], "204")]:
        assert status(curl, *fields, f"{CONDITIONS}/inverted-or-missing") == expected


def test_a_try_may_take_long_as_long_as_it_goes_on(gateway, curl):
    assert fields_at_origin(curl, "-H", "x-drip: 6", f"{CONDITIONS}/idle")["path"] == "/idle", "a second in parts"
    assert curl("-w", " %{http_code}", "-H", "x-wait: 2", f"{CONDITIONS}/idle") == "upstream request timeout 504"
    assert gateway.stats("^cluster.origin")["cluster.origin.upstream_rq_per_try_idle_timeout"] == 1


def test_an_internal_client_says_how_long_it_waits(curl):
    short = ["-H", "x-envoy-upstream-rq-timeout-ms: 500"]
    inside, outside = ["-H", "x-forwarded-for: 10.0.0.7"], ["-H", "x-forwarded-for: 203.0.113.7"]
    assert fields_at_origin(curl, *short, *inside, f"{CONDITIONS}/timed")["x-envoy-expected-rq-timeout-ms"] == "500"
    began = time.monotonic()
    assert status(curl, *short, *inside, "-H", "x-wait: 2", f"{CONDITIONS}/timed") == "504"
    assert time.monotonic() - began < 1.5
    assert status(curl, *short, *outside, "-H", "x-wait: 0.9", f"{CONDITIONS}/timed") == "200"
