"""HTTP filters before a real origin, with real clients: faults, CORS and CSRF, rate limits over two workers, whole requests, changes of
fields, answers to health checkers."""

import gzip
import hashlib
import time

import pytest

from conftest import ORIGIN_PORT, Origin, bootstrap, gateway_with_two_workers
from lab import GATEWAY, HOST, Namespace, static_cluster

FILTERS = "type.googleapis.com/envoy.extensions.filters.http"
MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
TOKENS = 40
BUFFER_BYTES = 200_000
SLOW_KIBIBYTES = 2_000  # a second, of all that passes

# Answers a PUT with what it has seen of it: the fields that say how long it is, and the SHA-256 of its body.
ECHO_ORIGIN = r"""
import hashlib, http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_PUT(self):
        length = int(self.headers.get("content-length", -1))
        body = self.rfile.read(length) if length >= 0 else self.chunks()
        answer = f"{length} {self.headers.get('transfer-encoding')} {hashlib.sha256(body).hexdigest()}".encode()
        self.send_response(200); self.send_header("content-length", str(len(answer))); self.end_headers(); self.wfile.write(answer)
    def chunks(self):
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size); self.rfile.readline()
        self.rfile.readline()
        return body
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""

# Answers every GET with one file, as text.
TEXT_ORIGIN = r"""
import http.server, sys
body = open("%s", "rb").read()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("content-type", "text/plain"); self.send_header("content-length", str(len(body)))
        self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


def listener(name: str, port: int, filters: list[tuple[str, str]], route: str = "", action: str = "") -> str:
    """A listener whose connection manager has filters, each as type and fields, before the router."""
    chain = "".join(f"{{name: f{i}, typed_config: {{\"@type\": {FILTERS}.{kind}{fields and ', ' + fields}}}}}, "
                    for i, (kind, fields) in enumerate(filters))
    return f"""  - name: {name}
    address: {{socket_address: {{address: "{GATEWAY}", port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": {MANAGER}
          stat_prefix: {name}
          http_filters: [{chain}{{name: router, typed_config: {{"@type": {FILTERS}.router.v3.Router}}}}]
          route_config: {{name: {name}, virtual_hosts: [{{name: all, domains: ["*"], routes: [
            {{match: {{prefix: /}}, route: {{cluster: origin{action}}}{route}}}]}}]}}
"""


def library(kind: str, name: str = "gzip") -> str:
    url = f"type.googleapis.com/envoy.extensions.compression.{name}.{kind}.v3.{name.capitalize()}"
    return f"{kind}_library: {{name: text, typed_config: {{\"@type\": {url}}}}}"


def compressor(name: str, fields: str = "") -> tuple[str, str]:
    return "compressor.v3.Compressor", f"response_direction_config: {{}}, {library('compressor', name)}{fields}"


def bucket(tokens: int) -> str:
    return f"token_bucket: {{max_tokens: {tokens}, fill_interval: 3600s}}"


def health_check(path: str, fields: str) -> tuple[str, str]:
    return "health_check.v3.HealthCheck", f"headers: [{{name: ':path', string_match: {{exact: {path}}}}}], {fields}"


def overwrite(field: str, value: str) -> str:
    return f"{{append: {{header: {{key: {field}, value: '{value}'}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}}}"


def limit_of_user(name: str, tokens: int) -> str:
    return f"{{entries: [{{key: user, value: {name}}}], {bucket(tokens)}}}"


ALWAYS = "{default_value: {numerator: 100}}"
PERCENT = "percentage: {numerator: 100}"
LISTENERS = "".join([
    listener("delay", 80, [("fault.v3.HTTPFault", "delay: {fixed_delay: 0.4s, percentage: {numerator: 100}}")]),
    listener("abort", 81, [("fault.v3.HTTPFault", "abort: {http_status: 418, percentage: {numerator: 100}}")]),
    listener("cors", 82, [("cors.v3.Cors", "")],
             f", typed_per_filter_config: {{f0: {{\"@type\": {FILTERS}.cors.v3.CorsPolicy, allow_methods: \"GET,PUT\", "
             f"allow_origin_string_match: [{{suffix: .example}}], filter_enabled: {ALWAYS}}}}}"),
    listener("limit", 83, [("local_ratelimit.v3.LocalRateLimit",
                            f"stat_prefix: edge, token_bucket: {{max_tokens: {TOKENS}, fill_interval: 3600s}}, "
                            f"filter_enabled: {ALWAYS}, filter_enforced: {ALWAYS}")]),
    listener("gzip", 85, [compressor("gzip")]),
    listener("gunzip", 86, [("decompressor.v3.Decompressor", library("decompressor"))]),
    listener("codings", 87, [compressor("gzip"), compressor("brotli", ", choose_first: true"), compressor("zstd")]),
    listener("slow", 88, [("bandwidth_limit.v3.BandwidthLimit",
                           f"stat_prefix: slow, enable_mode: REQUEST_AND_RESPONSE, limit_kbps: {SLOW_KIBIBYTES}")]),
    listener("csrf", 89, [("csrf.v3.CsrfPolicy", f"filter_enabled: {ALWAYS}, additional_origins: [{{suffix: .friend.example}}]")]),
    listener("checked", 90, [health_check("/healthz", "pass_through_mode: false"),
                             health_check("/ready", "pass_through_mode: false, cluster_min_healthy_percentages: {origin: {value: 100}}"),
                             health_check("/not-ready", "pass_through_mode: false, cluster_min_healthy_percentages: {empty: {value: 1}}"),
                             health_check("/ok", "pass_through_mode: true, cache_time: 60s")]),
    listener("asked", 91, [("fault.v3.HTTPFault", f"delay: {{header_delay: {{}}, {PERCENT}}}, abort: {{header_abort: {{}}, {PERCENT}}}, "
                                                  f"response_rate_limit: {{header_limit: {{}}, {PERCENT}}}")]),
    listener("users", 92, [("local_ratelimit.v3.LocalRateLimit",
                            f"stat_prefix: users, {bucket(6)}, filter_enabled: {ALWAYS}, filter_enforced: {ALWAYS}, status: {{code: 503}}, "
                            "enable_x_ratelimit_headers: DRAFT_VERSION_03, "
                            f"descriptors: [{limit_of_user('small', 2)}, {limit_of_user('large', 4)}]")],
             action=", rate_limits: [{actions: [{request_headers: {header_name: x-user, descriptor_key: user}}]}]"),
    listener("changed", 93, [("header_mutation.v3.HeaderMutation",
                              f"mutations: {{request_mutations: [{overwrite('x-request-id', 'by-%REQ(x-who)%')}, {{remove: x-forwarded-proto}}], "
                              f"response_mutations: [{overwrite('x-where', 'filter')}, {overwrite('x-told', '%RESPONSE_CODE% %RESP(CONTENT-TYPE)%')}, "
                              "{remove: content-type}]}")],
             f", typed_per_filter_config: {{f0: {{\"@type\": {FILTERS}.header_mutation.v3.HeaderMutationPerRoute, "
             f"mutations: {{response_mutations: [{overwrite('x-where', 'route')}]}}}}}}"),
    listener("buffer", 84, [("buffer.v3.Buffer", f"max_request_bytes: {BUFFER_BYTES}")]),
])


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Two workers: what they share has to be shared."""
    with Namespace() as namespace:
        text = bootstrap(LISTENERS, static_cluster("origin", [(HOST, ORIGIN_PORT)]) + static_cluster("empty", []))
        with gateway_with_two_workers(namespace, text) as gateway:
            yield namespace, gateway, Origin(namespace, tmp_path_factory.mktemp("origin"))


@pytest.fixture
def curl(lab):
    def run(port: int, *arguments, path: str = "/ok") -> str:
        return lab[0].output(["curl", "-sS", "--max-time", "20", *arguments, f"http://{GATEWAY}:{port}{path}"])
    return run


def test_a_fault_delays_and_another_answers(lab, curl):
    begin = time.monotonic()
    assert curl(80) == "ok\n"
    assert time.monotonic() - begin >= 0.4
    assert curl(81, "-w", " %{http_code}") == "fault filter abort 418"
    assert lab[1].stats("fault")["http.abort.fault.aborts_injected"] == 1


def test_a_browser_learns_what_it_may_do(curl):
    answer = curl(82, "-i", "-X", "OPTIONS", "-H", "origin: https://shop.example", "-H", "access-control-request-method: PUT")
    assert "access-control-allow-origin: https://shop.example" in answer and "access-control-allow-methods: GET,PUT" in answer
    assert "access-control" not in curl(82, "-i", "-H", "origin: https://evil.test")


def test_two_workers_let_through_exactly_what_the_bucket_holds(lab, curl):
    """Connections come from as many ports as there are requests, so that both workers have some."""
    namespace, gateway, _ = lab
    before = gateway.stats("busy_turns")
    many = namespace.output(["sh", "-c", f"seq {3 * TOKENS} | xargs -P 8 -I{{}} curl -sS --max-time 20 -o /dev/null "
                                         f"-w '%{{http_code}}\\n' http://{GATEWAY}:83/ok"])
    codes = many.split()
    assert codes.count("200") == TOKENS and codes.count("429") == 2 * TOKENS
    stats = gateway.stats("http_local_rate_limit")
    assert stats["edge.http_local_rate_limit.ok"] == TOKENS
    assert stats["edge.http_local_rate_limit.rate_limited"] == stats["edge.http_local_rate_limit.enforced"] == 2 * TOKENS
    assert stats["edge.http_local_rate_limit.enabled"] == 3 * TOKENS
    after = gateway.stats("busy_turns")
    assert all(after[f"millrace.worker.{i}.busy_turns"] > before[f"millrace.worker.{i}.busy_turns"] for i in range(2))
    assert curl(83) == "local_rate_limited"


def test_a_buffered_request_goes_on_as_a_whole(lab, curl, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(hashlib.shake_256(b"buffered").digest(BUFFER_BYTES))
    digest = hashlib.sha256(body.read_bytes()).hexdigest()
    with lab[2].replaced_by(ECHO_ORIGIN):
        for how in [["-H", "transfer-encoding: chunked"], []]:
            assert curl(84, "-T", str(body), *how) == f"{BUFFER_BYTES} None {digest}"
    body.write_bytes(bytes(BUFFER_BYTES + 1))
    assert curl(84, "-T", str(body), "-H", "expect:", "-w", " %{http_code}") == "Payload Too Large 413"


def large_text() -> bytes:
    return b"".join(b"line %d of a text that repeats itself\n" % i for i in range(500_000))


def test_a_large_response_is_compressed_for_those_who_want_it(lab, curl, tmp_path):
    text = large_text()
    (lab[2].files / "large.txt").write_bytes(text)
    got = tmp_path / "got"
    with lab[2].replaced_by(TEXT_ORIGIN % str(lab[2].files / "large.txt")):
        head = curl(85, "--compressed", "-o", str(got), "-D", "-", path="/large.txt")
        assert "content-encoding: gzip" in head and "vary: Accept-Encoding" in head
        assert got.read_bytes() == text
        assert "content-encoding" not in curl(85, "-o", str(got), "-D", "-", path="/large.txt")
        assert got.read_bytes() == text
    stats = lab[1].stats("compressor")
    base = "http.gzip.compressor.text.gzip.response."
    assert stats[base + "compressed"] == stats[base + "not_compressed"] == 1
    assert stats[base + "total_uncompressed_bytes"] == len(text)
    assert stats[base + "total_compressed_bytes"] < len(text) / 3


def test_a_compressed_request_reaches_the_origin_plain(lab, curl, tmp_path):
    text = large_text()
    (tmp_path / "body.gz").write_bytes(gzip.compress(text))
    with lab[2].replaced_by(ECHO_ORIGIN):
        answer = curl(86, "-T", str(tmp_path / "body.gz"), "-H", "content-encoding: gzip")
        assert answer == f"-1 chunked {hashlib.sha256(text).hexdigest()}"
        (tmp_path / "body.gz").write_bytes(gzip.compress(bytes(100_000_000)))
        assert curl(86, "-T", str(tmp_path / "body.gz"), "-H", "content-encoding: gzip", "-w", "%{http_code}") == "400"


def test_the_coding_is_the_one_that_the_client_likes_best(lab, curl, tmp_path):
    text = large_text()
    (lab[2].files / "large.txt").write_bytes(text)
    got = tmp_path / "got"
    with lab[2].replaced_by(TEXT_ORIGIN % str(lab[2].files / "large.txt")):
        for accepted, coding in [("br", "br"), ("zstd", "zstd"), ("gzip", "gzip"), ("gzip, br, zstd", "br"), ("gzip;q=0.5, zstd", "zstd")]:
            head = curl(87, "--compressed", "-H", f"accept-encoding: {accepted}", "-o", str(got), "-D", "-", path="/large.txt")
            assert f"content-encoding: {coding}\n" in head, accepted
            assert got.read_bytes() == text
    stats = lab[1].stats("compressor")
    assert stats["http.codings.compressor.text.brotli.response.header_compressor_used"] == 2
    assert stats["http.codings.compressor.text.zstd.response.header_compressor_overshadowed"] == 3
    assert stats["http.codings.compressor.text.zstd.response.total_compressed_bytes"] < 2 * len(text) / 3


def test_all_workers_share_a_bandwidth(lab, tmp_path):
    size = SLOW_KIBIBYTES * 1024 // 4
    (lab[2].files / "slow.bin").write_bytes(bytes(size))
    begin = time.monotonic()
    url = f"http://{GATEWAY}:88/slow.bin"
    downloads = [lab[0].start(["curl", "-sS", "--max-time", "20", "-o", str(tmp_path / f"got{i}"), url]) for i in range(6)]
    assert [process.wait() for process in downloads] == [0] * 6
    elapsed = time.monotonic() - begin
    assert all((tmp_path / f"got{i}").stat().st_size == size for i in range(6))
    assert 1.4 < elapsed < 4, "six quarters of what passes in a second"
    stats = lab[1].stats("bandwidth")
    assert stats["slow.http_bandwidth_limit.response_allowed_total_size"] == 6 * size
    assert stats["slow.http_bandwidth_limit.response_enabled"] == 6
    assert stats["slow.http_bandwidth_limit.response_pending"] == 0


def test_only_friends_may_change_things(lab, curl):
    def code(*arguments: str) -> str:
        return curl(89, "-o", "/dev/null", "-w", "%{http_code}", *arguments)

    assert curl(89, "-d", "x", "-H", "origin: https://evil.test", "-w", " %{http_code}") == "Invalid origin 403"
    assert code("-d", "x") == "403", "nobody knows where it comes from"
    assert code("-H", "origin: https://evil.test") == "200", "it changes nothing"
    assert code("-d", "x", "-H", f"origin: http://{GATEWAY}:89") == "200"
    assert code("-d", "x", "-H", "origin: https://www.friend.example") == "200"
    assert code("-d", "x", "-H", f"referer: http://{GATEWAY}:89/page") == "200"
    stats = lab[1].stats("csrf.csrf")
    assert [stats[f"http.csrf.csrf.{name}"] for name in ("missing_source_origin", "request_invalid", "request_valid")] == [1, 2, 3]


def test_health_checkers_get_their_answers(lab, curl):
    def code(path: str) -> str:
        return curl(90, "-o", "/dev/null", "-w", "%{http_code}", path=path)

    total = "cluster.origin.upstream_rq_total"
    before = lab[1].stats("upstream_rq_total")[total]
    assert [code(path) for path in ("/healthz", "/ready", "/not-ready")] == ["200", "200", "503"]
    assert lab[1].stats("upstream_rq_total")[total] == before
    assert [code("/ok") for _ in range(20)] == ["200"] * 20
    assert 1 <= lab[1].stats("upstream_rq_total")[total] - before <= 2, "once for each worker: then they remember"


def test_requests_ask_for_their_faults(lab, curl):
    def timed(*arguments: str, path: str = "/ok") -> tuple[str, float]:
        code, seconds = curl(91, "-o", "/dev/null", "-w", "%{http_code} %{time_total}", *arguments, path=path).split()
        return code, float(seconds)

    (lab[2].files / "paced.bin").write_bytes(bytes(200 * 1024))
    assert timed()[0] == "200"
    code, seconds = timed("-H", "x-envoy-fault-delay-request: 300")
    assert code == "200" and seconds >= 0.3
    assert timed("-H", "x-envoy-fault-abort-request: 418")[0] == "418"
    assert timed("-H", "x-envoy-fault-abort-request: 418", "-H", "x-envoy-fault-abort-request-percentage: 0")[0] == "200"
    code, seconds = timed("-H", "x-envoy-fault-throughput-response: 400", path="/paced.bin")
    assert code == "200" and seconds >= 0.4, "200 KiB at 400 KiB a second"
    stats = lab[1].stats("http.asked.fault")
    assert [stats[f"http.asked.fault.{name}_injected"] for name in ("delays", "aborts", "response_rl")] == [1, 1, 1]


def test_users_have_rates_of_their_own(curl):
    def codes(user: str, times: int) -> list[str]:
        return [curl(92, "-o", "/dev/null", "-w", "%{http_code}", "-H", f"x-user: {user}") for _ in range(times)]

    head = curl(92, "-D", "-", "-o", "/dev/null", "-H", "x-user: small")
    assert "x-ratelimit-limit: 2" in head and "x-ratelimit-remaining: 1" in head
    assert codes("small", 3) == ["200", "503", "503"]
    assert codes("large", 5) == ["200"] * 4 + ["503"]
    assert codes("any", 7).count("200") <= 6, "who has none shares the common one"


def test_fields_change_on_their_way(curl):
    head, _, body = curl(93, "-i", "-H", "x-who: alice", "-H", "x-request-id: forged", path="/headers").partition("\n\n")
    assert "proto= id=by-alice" in body
    fields = dict(line.split(": ", 1) for line in head.lower().splitlines()[1:])
    assert fields["x-told"] == "200 text/plain" and fields["x-where"] == "route", "the route's come behind the filter's"
    assert "content-type" not in fields
