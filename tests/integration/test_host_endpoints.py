"""Listeners and endpoints of the host itself: loopback addresses and Unix sockets, beside those of the ports. The gateway runs in a
namespace of its own, whose loopback is the host's here; clients and origins of the port are in another."""

import hashlib
import json
import os
import pathlib
import stat
import subprocess
import time

import pytest

from conftest import NGINX_CONFIG, ORIGIN_PORT, UPLOAD_ORIGIN, Origin, bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, LabError, Namespace, static_cluster, stop, wait_until

API = "type.googleapis.com/envoy"
LOOPBACK, LOOPBACK6 = "127.0.0.1", "::1"
INSIDE, EVERYWHERE, THROUGH, PROXIED, DIRECT, ORIGIN, UPLOAD = 8080, 8081, 8082, 8083, 8084, 9000, 9001
BULK = 1 << 26
LOG = "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_HOST% %RESPONSE_CODE%\\n"


# Says that it speaks for 192.0.2.7, and prints what it gets.
PROXY_CLIENT = r"""
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as connection:
    connection.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 7 8\r\nGET /ok HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n")
    while data := connection.recv(65536):
        sys.stdout.write(data.decode())
"""


# Asks now and then, and prints how long each answer took, in seconds.
PATIENT_CLIENT = r"""
import socket, sys, time
for _ in range(int(sys.argv[3])):
    time.sleep(0.03)
    start = time.monotonic()
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: any\r\n\r\n")
        connection.recv(65536)
    print(time.monotonic() - start)
"""


class HostGateway(Gateway):
    """A gateway whose process, admin pages included, is in the namespace `host`; its TAP is in `namespace`."""

    def __init__(self, host: Namespace, namespace: Namespace, text: str, **options):
        self.host = host
        super().__init__(namespace, text, **options)

    def command(self) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.host.name}", *super().command()]

    def admin(self, path: str, method: str = "GET", timeout: float = 10) -> str:
        return self.host.run(["curl", "-sS", "--fail", "-X", method, "--max-time", str(timeout), f"http://{LOOPBACK}:{self.admin_port}{path}"],
                             check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise LabError(f"the gateway exited with {self.process.returncode}")
        return self.admin("/ready").strip() == "LIVE"


def pipe_cluster(name: str, *paths: pathlib.Path, extra: str = "") -> str:
    endpoints = ", ".join(f'{{endpoint: {{address: {{pipe: {{path: "{path}"}}}}}}}}' for path in paths)
    return (f'  - {{name: {name}, type: STATIC, load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: '
            f'[{endpoints}]}}]}}{extra}}}\n')


def at_pipe(listener: str, path: str, mode: str = "") -> str:
    """The listener at a Unix socket instead of its address."""
    lines = [f'    address: {{pipe: {{path: "{path}"{mode}}}}}' if line.startswith("    address:") else line for line in listener.splitlines()]
    return "\n".join(lines) + "\n"


def with_proxy_protocol(listener: str) -> str:
    kind = f"{API}.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
    return listener.replace("    filter_chains:", f'    listener_filters: [{{name: proxy, typed_config: {{"@type": {kind}}}}}]\n    filter_chains:', 1)


def with_tls(listener: str, directory: pathlib.Path) -> str:
    kind = f"{API}.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    own = f'{{certificate_chain: {{filename: "{directory}/certificate"}}, private_key: {{filename: "{directory}/key"}}}}'
    socket = f'{{name: tls, typed_config: {{"@type": {kind}, common_tls_context: {{tls_certificates: [{own}]}}}}}}'
    return listener.replace("    - filters:", f"    - transport_socket: {socket}\n      filters:", 1)


def tcp_listener(name: str, address: str, port: int, cluster: str) -> str:
    return (f'  - {{name: {name}, address: {{socket_address: {{address: "{address}", port_value: {port}}}}}, filter_chains: [{{filters: '
            f'[{{name: tcp, typed_config: {{"@type": {API}.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: {name}, '
            f'cluster: {cluster}}}}}]}}]}}\n')


def access_log(path: pathlib.Path) -> str:
    return (f'access_log: [{{name: log, typed_config: {{"@type": {API}.extensions.access_loggers.file.v3.FileAccessLog, path: "{path}", '
            f'log_format: {{text_format_source: {{inline_string: "{LOG}"}}}}}}}}]')


PROBED = (", health_checks: [{timeout: 2s, interval: 0.2s, no_traffic_interval: 0.2s, unhealthy_threshold: 1, healthy_threshold: 1, "
          "http_health_check: {path: /ok}}]")
TO_ORIGIN = "[{match: {prefix: /}, route: {cluster: origin, timeout: 120s}}]"
FROM_PORT = ("[{match: {prefix: /pipe/}, route: {cluster: pipe, prefix_rewrite: /, timeout: 120s}},"
             " {match: {prefix: /six/}, route: {cluster: loopback6, prefix_rewrite: /}},"
             " {match: {prefix: /upload}, route: {cluster: upload, timeout: 120s}},"
             " {match: {prefix: /probed/}, route: {cluster: probed, prefix_rewrite: /}},"
             " {match: {prefix: /nobody}, route: {cluster: nobody}},"
             " {match: {prefix: /nofile}, route: {cluster: nofile}},"
             " {match: {prefix: /stats/prometheus}, route: {cluster: admin}},"
             " {match: {prefix: /}, route: {cluster: loopback, timeout: 120s}}]")


class Lab:
    def __init__(self, host: Namespace, outside: Namespace, directory: pathlib.Path):
        self.host, self.outside, self.directory = host, outside, directory
        self.socket = directory / "edge.sock"
        self.tls_socket = directory / "tls.sock"
        self.log = directory / "access.log"
        self.abstract = f"millrace-test-{os.getpid()}"
        self.origin_socket = directory / "origin.sock"

    def text(self) -> str:
        listeners = (http_listener("edge", 80, FROM_PORT, manager=access_log(self.log)) +
                     http_listener("inside", INSIDE, TO_ORIGIN, address=LOOPBACK, manager=access_log(self.log)) +
                     http_listener("inside6", INSIDE, TO_ORIGIN, address=LOOPBACK6) +
                     http_listener("everywhere", EVERYWHERE, TO_ORIGIN, address="0.0.0.0") +
                     at_pipe(http_listener("pipe", 1, TO_ORIGIN, manager="use_remote_address: true\n          " + access_log(self.log)),
                             str(self.socket), f", mode: {0o640}") +
                     at_pipe(http_listener("abstract", 1, TO_ORIGIN), f"@{self.abstract}") +
                     http_listener("direct", DIRECT, "[{match: {prefix: /}, direct_response: {status: 204}}]", address=LOOPBACK) +
                     with_proxy_protocol(http_listener("proxied", PROXIED, TO_ORIGIN, address=LOOPBACK, manager=access_log(self.log))) +
                     with_tls(at_pipe(http_listener("tls", 1, TO_ORIGIN), str(self.tls_socket)), self.directory) +
                     tcp_listener("through", LOOPBACK, THROUGH, "pipe"))
        clusters = (static_cluster("origin", [(HOST, ORIGIN_PORT)]) + static_cluster("loopback", [(LOOPBACK, ORIGIN)]) +
                    static_cluster("loopback6", [(LOOPBACK6, ORIGIN)]) + static_cluster("upload", [(LOOPBACK, UPLOAD)]) +
                    static_cluster("nobody", [(LOOPBACK, 9)]) + pipe_cluster("nofile", self.directory / "none.sock") +
                    pipe_cluster("pipe", self.origin_socket) + pipe_cluster("probed", self.origin_socket, self.directory / "none.sock", extra=PROBED) + static_cluster("admin", [(LOOPBACK, 0)]))
        return bootstrap(listeners, clusters)

    def start(self, **options) -> HostGateway:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=any",
                        "-keyout", f"{self.directory}/key", "-out", f"{self.directory}/certificate"], check=True, stderr=subprocess.DEVNULL)
        gateway = HostGateway(self.host, self.outside, self.text(), **options)
        text = gateway.bootstrap_path.read_text()
        gateway.bootstrap_path.write_text(text.replace("port_value: 0}", f"port_value: {gateway.admin_port}}}"))
        return gateway

    def start_origins(self) -> None:
        """nginx on the loopback and at a Unix socket of the gateway's host, and who answers uploads."""
        config = "user root;\n" + NGINX_CONFIG.format(directory=self.directory / "inner", listen=f"listen {LOOPBACK}:{ORIGIN};")
        listen = f"listen [::1]:{ORIGIN}; listen unix:{self.origin_socket}; client_max_body_size 0;"
        (self.directory / "inner" / "www").mkdir(parents=True)
        (self.directory / "inner" / "nginx.conf").write_text(config.replace("client_max_body_size 0;", listen))
        self.host.start(["nginx", "-c", str(self.directory / "inner" / "nginx.conf"), "-p", str(self.directory / "inner")])
        self.host.wait_for_port(LOOPBACK, ORIGIN)
        self.host.start(["/usr/bin/python3", "-c", UPLOAD_ORIGIN, LOOPBACK, str(UPLOAD)])
        self.host.wait_for_port(LOOPBACK, UPLOAD)


def make_bulk(directory: pathlib.Path, size: int = BULK) -> str:
    digest = hashlib.sha256()
    with open(directory / "bulk", "wb") as file:
        for i in range(size >> 20):
            block = hashlib.shake_256(str(i).encode()).digest(1 << 20)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def curl(namespace: Namespace, *arguments, timeout: int = 60) -> str:
    result = namespace.run(["curl", "-sS", "--max-time", str(timeout), *arguments], check=False, capture_output=True, text=True)
    assert result.returncode == 0, f"curl {arguments} failed with {result.returncode}: {result.stderr}"
    return result.stdout


def digest(namespace: Namespace, *arguments) -> str:
    client = namespace.start(["curl", "-sS", "--max-time", "120", *arguments], stdout=subprocess.PIPE)
    sha = hashlib.sha256()
    while block := client.stdout.read(1 << 20):
        sha.update(block)
    assert client.wait() == 0
    return sha.hexdigest()


@pytest.fixture(scope="module")
def spaces(tmp_path_factory):
    """The gateway's namespace, the one outside, and a directory that nginx may read."""
    directory = tmp_path_factory.mktemp("host")
    for parent in [directory, *directory.parents][:3]:
        parent.chmod(0o755)
    with Namespace() as host, Namespace() as outside:
        yield Lab(host, outside, directory)


@pytest.fixture(scope="module")
def lab(spaces, tmp_path_factory):
    with spaces.start() as gateway:
        spaces.gateway = gateway
        spaces.outer = Origin(spaces.outside, tmp_path_factory.mktemp("origin"))
        spaces.start_origins()
        spaces.inner_bulk = make_bulk(spaces.directory / "inner" / "www")
        spaces.outer_bulk = make_bulk(spaces.outer.files)
        yield spaces


def test_a_loopback_listener_leads_to_an_endpoint_behind_a_port(lab):
    assert curl(lab.host, f"http://{LOOPBACK}:{INSIDE}/ok") == "ok\n"
    assert curl(lab.host, f"http://[{LOOPBACK6}]:{INSIDE}/ok") == "ok\n"


def test_a_listener_of_the_port_leads_to_loopback_endpoints(lab):
    assert curl(lab.outside, f"http://{GATEWAY}/ok") == "ok\n"
    assert curl(lab.outside, f"http://{GATEWAY}/six/ok") == "ok\n"


def test_an_endpoint_may_be_a_unix_socket(lab):
    assert curl(lab.outside, f"http://{GATEWAY}/pipe/ok") == "ok\n"
    wait_until(lambda: f"{GATEWAY}:80 {HOST} {lab.origin_socket} 200" in lab.log.read_text(), 5, "the line of the access log")
    assert f"pipe::{lab.origin_socket}::cx_total::" in lab.gateway.admin("/clusters")
    shown = {status["name"]: status for status in json.loads(lab.gateway.admin("/clusters?format=json"))["cluster_statuses"]}
    assert shown["pipe"]["host_statuses"][0]["address"] == {"pipe": {"path": str(lab.origin_socket)}}


def test_a_unix_socket_may_be_listened_at(lab):
    assert stat.S_IMODE(lab.socket.stat().st_mode) == 0o640
    assert curl(lab.host, "--unix-socket", str(lab.socket), "http://any/ok") == "ok\n"
    assert curl(lab.host, "--abstract-unix-socket", lab.abstract, "http://any/ok") == "ok\n"
    wait_until(lambda: f"{lab.socket} {lab.socket} {HOST}:{ORIGIN_PORT} 200" in lab.log.read_text(), 5, "the line of the access log")
    assert "xff= " in curl(lab.host, "--unix-socket", str(lab.socket), "http://any/headers"), "a Unix socket is no address to forward"
    assert f"pipe::{lab.socket}" in lab.gateway.admin("/listeners")
    shown = {status["name"]: status for status in json.loads(lab.gateway.admin("/listeners?format=json"))["listener_statuses"]}
    assert shown["pipe"]["local_address"] == {"pipe": {"path": str(lab.socket)}}


def test_a_listener_for_all_addresses_is_reached_from_inside_and_outside(lab):
    assert curl(lab.host, f"http://{LOOPBACK}:{EVERYWHERE}/ok") == "ok\n"
    assert curl(lab.outside, f"http://{GATEWAY}:{EVERYWHERE}/ok") == "ok\n"


def test_bytes_are_passed_through_between_sockets_of_the_host(lab):
    assert curl(lab.host, f"http://{LOOPBACK}:{THROUGH}/ok") == "ok\n"
    assert digest(lab.host, f"http://{LOOPBACK}:{THROUGH}/bulk") == lab.inner_bulk


def test_a_proxy_header_tells_the_client_at_a_loopback_listener(lab):
    assert lab.host.output(["/usr/bin/python3", "-c", PROXY_CLIENT, LOOPBACK, str(PROXIED)]).endswith("ok\n")
    wait_until(lambda: f" 192.0.2.7 {HOST}:{ORIGIN_PORT} 200" in lab.log.read_text(), 5, "the line of the access log")


def test_tls_is_spoken_at_a_unix_socket(lab):
    assert curl(lab.host, "-k", "--unix-socket", str(lab.tls_socket), "https://any/ok") == "ok\n"
    assert digest(lab.host, "-k", "--unix-socket", str(lab.tls_socket), "https://any/bulk") == lab.outer_bulk


def test_nobody_there_is_a_failed_connect(lab):
    for path in ("/nobody", "/nofile"):
        answer = curl(lab.outside, "-i", f"http://{GATEWAY}{path}")
        assert answer.startswith("HTTP/1.1 503") and "remote connection failure" in answer and "connection refused" in answer, answer


def test_endpoints_of_the_host_are_probed(lab):
    flags = lambda: {line.split("::")[1]: line.split("::")[3] for line in lab.gateway.admin("/clusters").splitlines()
                     if line.startswith("probed::") and "::health_flags::" in line}
    wait_until(lambda: flags() == {str(lab.origin_socket): "healthy", str(lab.directory / "none.sock"): "/failed_active_hc"}, 10,
               "what health checks find")
    for _ in range(6):
        assert curl(lab.outside, f"http://{GATEWAY}/probed/ok") == "ok\n"


def test_large_bodies_arrive_whole_both_ways(lab, tmp_path):
    assert digest(lab.outside, f"http://{GATEWAY}/bulk") == lab.inner_bulk
    assert digest(lab.outside, f"http://{GATEWAY}/pipe/bulk") == lab.inner_bulk
    assert digest(lab.host, f"http://{LOOPBACK}:{INSIDE}/bulk") == lab.outer_bulk
    assert digest(lab.host, "--unix-socket", str(lab.socket), "http://any/bulk") == lab.outer_bulk
    body = lab.directory / "inner" / "www" / "bulk"
    assert curl(lab.outside, "-T", str(body), f"http://{GATEWAY}/upload", timeout=120) == lab.inner_bulk


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_a_slow_reader_holds_the_origin_back(lab, where):
    namespace, url = (lab.host, f"http://{LOOPBACK}:{INSIDE}/bulk") if where == "inside" else (lab.outside, f"http://{GATEWAY}/bulk")
    used = lambda: lab.gateway.stats("packets_in_use")["millrace.worker.0.packets_in_use"]
    before = used()
    clients = [namespace.start(["curl", "-sS", "--limit-rate", "1M", "-o", "/dev/null", url]) for _ in range(4)]
    try:
        most = 0
        for _ in range(15):
            time.sleep(0.2)
            most = max(most, used())
        assert most - before < 4 * (BULK // 2048) // 6, "packet buffers hold what the reader has not read"
        assert curl(lab.host, f"http://{LOOPBACK}:{INSIDE}/ok") == "ok\n", "others are served meanwhile"
    finally:
        for client in clients:
            stop(client)
    wait_until(lambda: used() <= before + 64, 10, "packet buffers come back")


def test_the_admin_pages_may_be_an_upstream(lab):
    assert "envoy_server_live" in curl(lab.outside, f"http://{GATEWAY}/stats/prometheus")


def test_a_gateway_that_sleeps_is_woken_by_a_socket_of_the_host(lab):
    """idle: ADAPTIVE: what comes is answered at once, not when a sleep of up to 50 ms ends. A quarter of the answers tell, however busy
    the machine is."""
    times = sorted(map(float, lab.host.output(["/usr/bin/python3", "-c", PATIENT_CLIENT, LOOPBACK, str(DIRECT), "40"]).split()))
    assert times[10] < 0.006, times


def test_connections_are_counted_as_those_of_ports(lab):
    before = lab.gateway.stats("downstream_cx_total")
    curl(lab.host, f"http://{LOOPBACK}:{INSIDE}/ok")
    after = lab.gateway.stats("downstream_cx_total")
    name = f"listener.{LOOPBACK}_{INSIDE}.downstream_cx_total"
    assert after[name] == before[name] + 1
    assert lab.gateway.stats("host.accepted")["millrace.worker.0.host.accepted"] > 0


def in_file(name: str, port: int) -> dict:
    manager = {"@type": f"{API}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": name,
               "http_filters": [{"name": "router", "typed_config": {"@type": f"{API}.extensions.filters.http.router.v3.Router"}}],
               "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                   {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": name}}}]}]}}
    return {"@type": f"{API}.config.listener.v3.Listener", "name": name,
            "address": {"socket_address": {"address": LOOPBACK, "port_value": port}},
            "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}]}


def place(path: pathlib.Path, *resources: dict) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"version_info": str(time.monotonic_ns()), "resources": resources}))
    new.rename(path)


def refused(namespace: Namespace, port: int) -> bool:
    return namespace.run(["curl", "-sS", f"http://{LOOPBACK}:{port}/"], check=False, capture_output=True).returncode == 7


@pytest.fixture
def fresh():
    with Namespace() as host, Namespace() as outside:
        yield host, outside


def test_listeners_come_and_go_with_their_file(fresh, tmp_path):
    host, outside = fresh
    lds = tmp_path / "lds.json"
    place(lds, in_file("first", 8001))
    text = "dynamic_resources: " + json.dumps({"lds_config": {"path_config_source": {"path": str(lds)}}})
    with HostGateway(host, outside, text):
        assert curl(host, f"http://{LOOPBACK}:8001/") == "first"
        place(lds, in_file("first", 8001), in_file("second", 8002))
        wait_until(lambda: not refused(host, 8002), 10, "the second listener")
        assert curl(host, f"http://{LOOPBACK}:8002/") == "second"
        place(lds, in_file("second", 8002))
        wait_until(lambda: refused(host, 8001), 10, "the end of the first listener")
        assert curl(host, f"http://{LOOPBACK}:8002/") == "second"
        place(lds, in_file("other", 8002))
        wait_until(lambda: curl(host, f"http://{LOOPBACK}:8002/") == "other", 10, "another listener at the same address")


def two_workers(outside: Namespace) -> dict:
    return {"dataplane": f"ports:\n- name: edge\n  tap: {{interface: mr0, netns: {outside.name}}}\n  addresses: [{GATEWAY}/24]\n",
            "arguments": ["--concurrency", "2"]}


def test_two_workers_share_sockets_and_a_file_is_removed_at_the_end(fresh, tmp_path):
    host, outside = fresh
    lab = Lab(host, outside, tmp_path)
    tmp_path.chmod(0o755)
    abandoned = subprocess.run(["/usr/bin/python3", "-c", f"import socket; socket.socket(socket.AF_UNIX).bind({str(lab.socket)!r})"], check=True)
    assert abandoned.returncode == 0 and lab.socket.exists(), "what a gateway leaves that was killed"
    with lab.start(**two_workers(outside)) as gateway:
        lab.start_origins()
        load = host.output(["wrk", "-t1", "-c32", "-d2s", f"http://{LOOPBACK}:{THROUGH}/ok"])
        assert "Non-2xx" not in load and "Socket errors" not in load, load
        assert curl(outside, f"http://{GATEWAY}/pipe/ok") == "ok\n"
        accepted = gateway.stats("host.accepted")
        assert sum(accepted.values()) >= 32, accepted
        assert curl(outside, "--unix-socket", str(lab.socket), "-o", "/dev/null", "-w", "%{http_code}", "http://any/ok") == "503"
        assert gateway.stop() == 0
    assert not lab.socket.exists()


def test_a_request_in_flight_is_finished_by_a_drain(lab):
    """Of the host's listeners, too: nobody else gets in meanwhile."""
    client = lab.host.start(["curl", "-sS", "--limit-rate", "16M", "-o", "/dev/null", "-w", "%{size_download}", f"http://{LOOPBACK}:{INSIDE}/bulk"],
                            stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    lab.gateway.process.terminate()
    wait_until(lambda: refused(lab.host, INSIDE), 5, "the end of the listener")
    assert client.communicate(timeout=60)[0] == str(BULK)
    assert lab.gateway.process.wait(30) == 0
    assert not lab.socket.exists()


def test_an_address_that_somebody_else_has_is_an_error_at_start(fresh):
    host, outside = fresh
    taken = host.start(["/usr/bin/python3", "-m", "http.server", "-b", LOOPBACK, str(INSIDE)], stderr=subprocess.DEVNULL)
    host.wait_for_port(LOOPBACK, INSIDE)
    gateway = HostGateway(host, outside, bootstrap(http_listener("inside", INSIDE, TO_ORIGIN, address=LOOPBACK),
                                                  static_cluster("origin", [(HOST, ORIGIN_PORT)])))
    run = subprocess.run(gateway.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    gateway.close()
    stop(taken)
    assert run.returncode == 2, run.stdout
    assert f"{LOOPBACK}:{INSIDE}: Address already in use" in run.stdout


def test_all_addresses_do_without_a_loopback_that_somebody_else_has(fresh):
    host, outside = fresh
    host.start(["/usr/bin/python3", "-m", "http.server", "-b", LOOPBACK, str(EVERYWHERE)], stderr=subprocess.DEVNULL)
    host.wait_for_port(LOOPBACK, EVERYWHERE)
    text = bootstrap(http_listener("everywhere", EVERYWHERE, "[{match: {prefix: /}, direct_response: {status: 204}}]", address="0.0.0.0"),
                     static_cluster("origin", [(HOST, ORIGIN_PORT)]))
    with HostGateway(host, outside, text) as gateway:
        assert curl(outside, "-o", "/dev/null", "-w", "%{http_code}", f"http://{GATEWAY}:{EVERYWHERE}/") == "204"
        wait_until(lambda: f"{LOOPBACK}:{EVERYWHERE}: Address already in use" in gateway.log_text(), 5, "the warning")
