"""Life cycle and administration of the real binary: drain, logs, admin pages, errors that clients see."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.error

import pytest

from conftest import ORIGIN_PORT, Origin, bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, Namespace, static_cluster, wait_until

SLOW_ORIGIN = r"""
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        time.sleep(float(self.path.rpartition("/")[2]))
        self.send_response(200); self.send_header("content-length", "5"); self.end_headers(); self.wfile.write(b"late\n")
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""

ROUTES = """[
  {match: {prefix: /slow}, route: {cluster: slow, timeout: 20s}},
  {match: {prefix: /short}, route: {cluster: slow, timeout: 0.3s}},
  {match: {path: /refused}, route: {cluster: refused}},
  {match: {path: /empty}, route: {cluster: empty}},
  {match: {path: /direct}, direct_response: {status: 203, body: {inline_string: "said by the gateway"}}},
  {match: {path: /old}, redirect: {path_redirect: /new, response_code: FOUND}},
  {match: {prefix: /rewritten/}, route: {cluster: origin, prefix_rewrite: /}},
  {match: {path: /ok}, route: {cluster: origin}}]"""


@pytest.fixture
def lab(tmp_path):
    """A namespace, a gateway with an access log, nginx and a slow origin; new for each test, since these tests end it."""
    log = tmp_path / "access.log"
    manager = ("use_remote_address: true\n"
               "          access_log: [{name: file, typed_config: {\"@type\": "
               "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: " + str(log) + "}}]")
    text = bootstrap(http_listener("edge", 80, ROUTES, manager=manager),
                     static_cluster("origin", [(HOST, ORIGIN_PORT)]) + static_cluster("slow", [(HOST, 8002)])
                     + static_cluster("refused", [(HOST, 9)]) + "  - {name: empty, type: STATIC}\n")
    with Namespace() as namespace, Gateway(namespace, text, arguments=["--drain-time-s", "10"]) as gateway:
        directory = tmp_path / "nginx"
        directory.mkdir()
        tmp_path.chmod(0o755)
        Origin(namespace, directory)
        namespace.start(["/usr/bin/python3", "-c", SLOW_ORIGIN, HOST, "8002"])
        namespace.wait_for_port(HOST, 8002)
        gateway.access_log = log
        yield namespace, gateway


def curl(namespace, *arguments) -> subprocess.CompletedProcess:
    return namespace.run(["curl", "-sS", "--max-time", "30", *arguments], check=False, capture_output=True, text=True)


def status(namespace, path: str) -> str:
    return curl(namespace, "-o", "/dev/null", "-w", "%{http_code}", f"http://{GATEWAY}{path}").stdout


def test_what_clients_see_when_something_is_wrong(lab):
    namespace, gateway = lab
    for path, expected in (("/nowhere", "404"), ("/refused", "503"), ("/empty", "503"), ("/short/5", "504"), ("/direct", "203"),
                           ("/old", "302"), ("/rewritten/ok", "200"), ("/ok", "200")):
        assert status(namespace, path) == expected, path
    assert curl(namespace, f"http://{GATEWAY}/direct").stdout == "said by the gateway"
    assert curl(namespace, f"http://{GATEWAY}/empty").stdout == "no healthy upstream"
    assert curl(namespace, "-o", "/dev/null", "-w", "%{redirect_url}", f"http://{GATEWAY}/old").stdout == f"http://{GATEWAY}/new"

    def lines():
        text = gateway.access_log.read_text()
        return text if text.count("\n") >= 11 else None
    log = wait_until(lines, 10, "eleven access log lines")
    for path, code, flags in (("/nowhere", 404, "NR"), ("/refused", 503, "UF"), ("/empty", 503, "UH"), ("/short/5", 504, "UT"), ("/ok", 200, "-")):
        assert re.search(rf'(?m)^\[[-0-9T:.]+Z\] "GET {path} HTTP/1.1" {code} {flags} ', log), f"{path} {code} {flags} in\n{log}"


def test_sigterm_lets_requests_in_flight_finish_and_exits_with_zero(lab):
    namespace, gateway = lab
    client = namespace.start(["curl", "-sS", "--max-time", "20", f"http://{GATEWAY}/slow/2"], stdout=subprocess.PIPE, text=True)
    wait_until(lambda: gateway.stats()["http.edge.downstream_rq_active"] == 1, 10, "the request is in flight")
    gateway.signal(signal.SIGTERM)
    wait_until(lambda: gateway_state(gateway) == "DRAINING", 5, "the gateway drains")
    refused = curl(namespace, f"http://{GATEWAY}/ok")
    assert refused.returncode == 7, f"a new connection while draining: {refused}"
    assert client.communicate(timeout=20)[0] == "late\n"
    assert gateway.process.wait(10) == 0


def gateway_state(gateway) -> str:
    try:
        return gateway.admin("/ready").strip()
    except urllib.error.HTTPError as error:
        return error.read().decode().strip()


def test_sigterm_without_connections_exits_at_once(lab):
    _, gateway = lab
    start = time.monotonic()
    gateway.signal(signal.SIGTERM)
    assert gateway.process.wait(10) == 0
    assert time.monotonic() - start < 3


def test_sigusr1_reopens_the_access_log(lab):
    namespace, gateway = lab
    status(namespace, "/ok")
    wait_until(lambda: gateway.access_log.exists() and gateway.access_log.read_text(), 5, "the first line")
    moved = gateway.access_log.rename(gateway.access_log.with_suffix(".1"))
    gateway.signal(signal.SIGUSR1)
    wait_until(gateway.access_log.exists, 5, "a new access log")
    status(namespace, "/direct")
    wait_until(lambda: "/direct" in gateway.access_log.read_text(), 5, "a line in the new access log")
    assert "/direct" not in moved.read_text()


def test_quitquitquit_ends_the_process(lab):
    _, gateway = lab
    with pytest.raises(urllib.error.HTTPError) as refused:
        gateway.admin("/quitquitquit")
    assert refused.value.code == 405
    assert gateway.admin("/quitquitquit", method="POST") == "OK\n"
    assert gateway.process.wait(10) == 0


def test_admin_pages_have_envoys_shapes(lab):
    namespace, gateway = lab
    status(namespace, "/ok")
    assert gateway.admin("/ready") == "LIVE\n"
    text = gateway.admin("/stats")
    assert re.search(r"(?m)^http\.edge\.downstream_rq_2xx: 1$", text)
    assert re.search(r"(?m)^cluster\.origin\.upstream_rq_total: 1$", text)
    assert re.search(r"(?m)^listener\.198\.18\.0\.2_80\.downstream_cx_total: 1$", text)
    prometheus = gateway.admin("/stats/prometheus")
    assert re.search(r'(?m)^envoy_http_downstream_rq_xx\{envoy_http_conn_manager_prefix="edge",envoy_response_code_class="2"\} 1$', prometheus)
    assert re.search(r'(?m)^envoy_cluster_upstream_rq_total\{envoy_cluster_name="origin"\} 1$', prometheus)
    assert f"origin::{HOST}:{ORIGIN_PORT}::rq_total::1\n" in gateway.admin("/clusters")
    clusters = json.loads(gateway.admin("/clusters?format=json"))["cluster_statuses"]
    assert {c["name"] for c in clusters} == {"origin", "slow", "refused", "empty"}
    assert gateway.admin("/listeners") == f"edge::{GATEWAY}:80\n"
    listeners = json.loads(gateway.admin("/listeners?format=json"))["listener_statuses"]
    assert listeners[0]["local_address"]["socket_address"] == {"address": GATEWAY, "port_value": 80}
    dump = json.loads(gateway.admin("/config_dump"))["configs"]
    assert [c["@type"].rpartition(".")[2] for c in dump] == [
        "BootstrapConfigDump", "ClustersConfigDump", "EcdsConfigDump", "ListenersConfigDump", "ScopedRoutesConfigDump", "RoutesConfigDump",
        "SecretsConfigDump"]
    assert json.loads(gateway.admin("/server_info"))["state"] == "LIVE"
    assert json.loads(gateway.admin("/millrace/nic"))["ports"][0]["driver"] == "net_tap"


def test_prometheus_text_is_understood_by_promtool(lab):
    promtool = next((p for p in ("/usr/bin/promtool",) if os.path.exists(p)), None)
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    _, gateway = lab
    check = subprocess.run([promtool, "check", "metrics"], input=gateway.admin("/stats/prometheus"), capture_output=True, text=True)
    problems = [line for line in check.stderr.splitlines() if "error" in line.lower()]
    assert check.returncode in (0, 3) and not problems, check.stderr


def test_second_gateway_on_the_same_admin_address_is_refused(lab):
    namespace, gateway = lab
    second = Gateway(namespace, "static_resources: {}\n", interface="mr9")
    try:
        second.bootstrap_path.write_text(gateway.bootstrap_path.read_text())
        done = subprocess.run(second.command(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert "the admin server cannot listen on 127.0.0.1:" in done.stderr
    finally:
        second.close()
