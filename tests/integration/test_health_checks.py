"""Active health checks with two workers, against nginx and a gRPC server: servers that stop and come back, that say 503, that answer over
TCP, over TLS, over gRPC. Panic is off: what fails must get no request at all."""

import contextlib
import json
import pathlib
import signal

import pytest

from certificates import Authority
from conftest import bootstrap, gateway_with_two_workers, http_listener
from lab import GATEWAY, HOST, static_cluster, stop, wait_until

FIRST_PORT, SECOND_PORT, TLS_PORT = 8000, 8001, 8443
FIRST_PROBE_PORT, SECOND_PROBE_PORT = 9000, 9001
GRPC_PORT, GRPC_TLS_PORT = 9100, 9143
BASE = f"http://{GATEWAY}"

NGINX_CONFIG = """
user root;
daemon off;
worker_processes 1;
error_log {directory}/error.log;
pid {directory}/{port}.pid;
events {{ }}
http {{
  access_log {directory}/{port}.log;
  server {{
    listen {host}:{port};
    {tls}
    root {directory};
    location = /healthz {{ if (-f {directory}/{port}.down) {{ return 503; }} default_type text/plain; return 200 "all is fine\\n"; }}
    location = /goes {{ add_header x-envoy-immediate-health-check-fail true; default_type text/plain; return 200 "{port}\\n"; }}
    location / {{ default_type text/plain; return 200 "{port}\\n"; }}
  }}
}}
"""

# Answers each PING by what its third argument says.
PROBE_ORIGIN = """
import socketserver, sys
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        while self.request.recv(4) == b"PING": self.request.sendall(sys.argv[3].encode())
class Server(socketserver.ThreadingTCPServer): allow_reuse_address = True
Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""

# The health service of a gRPC server, over TLS if it gets certificate and key. Its second argument is a file that says what it answers:
# a number of HealthCheckResponse.ServingStatus, or the name of a grpc.StatusCode. The third gets the requests.
GRPC_ORIGIN = """
import concurrent.futures, pathlib, sys
import grpc
address, answer, log, *tls = sys.argv[1:]
def check(request, context):
    with open(log, "a") as file: print(request, sorted(context.invocation_metadata()), file=file)
    text = pathlib.Path(answer).read_text()
    if text.isdigit(): return bytes([8, int(text)])
    context.abort(getattr(grpc.StatusCode, text), "as asked for")
handlers = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)})
server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), handlers=[handlers])
if tls:
    chain, key = (pathlib.Path(file).read_bytes() for file in tls)
    server.add_secure_port(address, grpc.ssl_server_credentials([(key, chain)]))
else: server.add_insecure_port(address)
server.start()
server.wait_for_termination()
"""

INTERVALS = ("timeout: 0.5s, interval: 0.2s, no_traffic_interval: 0.2s, unhealthy_threshold: 2, healthy_threshold: 2")
NO_PANIC = "common_lb_config: {healthy_panic_threshold: {}}"


def check(kind: str, extra: str = "") -> str:
    return f", {NO_PANIC}, health_checks: [{{{INTERVALS}, {kind}{extra}}}]"


def probed_cluster(name: str, endpoints: list[tuple[int, int]], extra: str) -> str:
    """Endpoints as (port, port of the health check)."""
    lb = ", ".join(f"{{endpoint: {{address: {{socket_address: {{address: {HOST}, port_value: {port}}}}}, "
                   f"health_check_config: {{port_value: {probe}}}}}}}" for port, probe in endpoints)
    return f"  - {{name: {name}, type: STATIC, load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{lb}]}}]}}{extra}}}\n"


class World:
    """The servers of this file, by their ports."""

    def __init__(self, namespace, directory: pathlib.Path):
        directory.chmod(0o755)
        self.namespace, self.directory = namespace, directory
        self.ca = Authority(directory / "ca", "ca")
        self.certificate, self.key = self.ca.issue("origin", names="DNS:origin.example")
        self.running = {}

    def start_nginx(self, port: int, tls: bool = False) -> None:
        config = self.directory / f"{port}.conf"
        secure = f"ssl_certificate {self.certificate}; ssl_certificate_key {self.key};" if tls else ""
        text = NGINX_CONFIG.format(directory=self.directory, host=HOST, port=port, tls=secure)
        config.write_text(text.replace(f"{port};", f"{port} ssl;", 1) if tls else text)
        self._start(port, ["nginx", "-c", str(config), "-p", str(self.directory)])

    def start_probe(self, port: int, answer: str) -> None:
        self._start(port, ["/usr/bin/python3", "-c", PROBE_ORIGIN, HOST, str(port), answer])

    def start_grpc(self, port: int, answer: str, tls: bool = False) -> None:
        self.set_grpc(port, answer)
        files = [str(self.directory / f"{port}.{kind}") for kind in ("answer", "requests")]
        secure = [str(self.certificate), str(self.key)] if tls else []
        self._start(port, ["/usr/bin/python3", "-c", GRPC_ORIGIN, f"{HOST}:{port}", *files, *secure])

    def set_grpc(self, port: int, answer: str) -> None:
        file = self.directory / f"{port}.answer"
        fresh = file.with_suffix(".fresh")
        fresh.write_text(answer)
        fresh.rename(file)

    def _start(self, port: int, command: list[str]) -> None:
        self.running[port] = self.namespace.start(command)
        self.namespace.wait_for_port(HOST, port)

    def stop(self, port: int) -> None:
        stop(self.running.pop(port))

    @contextlib.contextmanager
    def hanging(self, port: int):
        """The server does nothing at all: one that only slept would say at its deadline, the gateway's timeout, that this is over."""
        server = self.running[port]
        server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            server.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def unavailable(self, port: int):
        """/healthz answers 503."""
        mark = self.directory / f"{port}.down"
        mark.touch()
        try:
            yield
        finally:
            mark.unlink()

    def requests(self, port: int, path: str) -> int:
        return sum(f" {path} " in line for line in (self.directory / f"{port}.log").read_text().splitlines())


@pytest.fixture(scope="module")
def world(namespace, tmp_path_factory):
    made = World(namespace, tmp_path_factory.mktemp("world"))
    yield made
    for port in list(made.running):
        made.stop(port)


@pytest.fixture(scope="module")
def gateway(namespace, world):
    names = ["http", "tcp", "secure", "wrong", "grpc", "grpc-secure"]
    listeners = "".join(http_listener(name, 80 + i, f"[{{match: {{prefix: /}}, route: {{cluster: {name}}}}}]")
                        for i, name in enumerate(names))
    http = "http_health_check: {path: /healthz, host: probe.example, receive: [{binary: ZmluZQ==}]}"
    log = f", event_log_path: {world.directory}/events.json"
    tcp = "tcp_health_check: {send: {text: \"50494e47\"}, receive: [{text: \"50\"}, {text: \"4e47\"}]}"
    tls = (", transport_socket: {name: tls, typed_config: {\"@type\": "
           "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: "
           f"{{validation_context: {{trusted_ca: {{filename: {world.ca.certificate}}}}}}}}}}}")
    clusters = static_cluster("http", [(HOST, FIRST_PORT), (HOST, SECOND_PORT)], check(http, log))
    clusters += probed_cluster("tcp", [(FIRST_PORT, FIRST_PROBE_PORT), (SECOND_PORT, SECOND_PROBE_PORT)], check(tcp))
    clusters += static_cluster("secure", [(HOST, TLS_PORT)], check(http) + tls)
    clusters += static_cluster("wrong", [(HOST, FIRST_PORT)], check(http) + tls)
    grpc = "grpc_health_check: {service_name: shop.Cart, initial_metadata: [{header: {key: x-probe, value: edge}}]}"
    grpc_log = f", event_log_path: {world.directory}/grpc-events.json"
    clusters += probed_cluster("grpc", [(FIRST_PORT, GRPC_PORT)], check(grpc, grpc_log))
    clusters += probed_cluster("grpc-secure", [(FIRST_PORT, GRPC_TLS_PORT)], check(grpc) + tls)
    with gateway_with_two_workers(namespace, bootstrap(listeners, clusters)) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def servers(gateway, world):
    """Needs the gateway first: its TAP carries the servers' address."""
    for port in (FIRST_PORT, SECOND_PORT):
        world.start_nginx(port)
    world.start_nginx(TLS_PORT, tls=True)
    world.start_probe(FIRST_PROBE_PORT, "PONG")
    world.start_probe(SECOND_PROBE_PORT, "WHAT")
    world.start_grpc(GRPC_PORT, "1")
    world.start_grpc(GRPC_TLS_PORT, "1", tls=True)


def healthy(gateway, cluster: str) -> int:
    return gateway.stats(f"^cluster.{cluster}.health_check.healthy")[f"cluster.{cluster}.health_check.healthy"]


def flags(gateway, cluster: str, port: int) -> str:
    line = f"{cluster}::{HOST}:{port}::health_flags::"
    return next(row for row in gateway.admin("/clusters").splitlines() if row.startswith(line)).removeprefix(line)


def answers(curl, listener: int, count: int = 20) -> set[str]:
    """What so many requests get, each on a connection of its own, which either worker may have."""
    return {curl("-w", "%{http_code}", f"{BASE}:{listener}/").replace("\n", " ") for _ in range(count)}


BOTH = {f"{FIRST_PORT} 200", f"{SECOND_PORT} 200"}


def wait_for(gateway, cluster: str, count: int) -> None:
    wait_until(lambda: healthy(gateway, cluster) == count, 15, f"{count} healthy endpoints of {cluster}")


def test_servers_that_answer_are_in_service(gateway, world, curl):
    wait_for(gateway, "http", 2)
    assert flags(gateway, "http", FIRST_PORT) == "healthy"
    assert answers(curl, 80) == BOTH
    assert world.requests(FIRST_PORT, "/healthz") > 0
    stats = gateway.stats("^cluster.http.")
    assert stats["cluster.http.membership_healthy"] == 2
    assert stats["cluster.http.health_check.success"] >= 2


def test_a_server_that_stops_gets_nothing_and_returns(gateway, world, curl):
    wait_for(gateway, "http", 2)
    world.stop(SECOND_PORT)
    wait_for(gateway, "http", 1)
    assert flags(gateway, "http", SECOND_PORT) == "/failed_active_hc"
    assert answers(curl, 80) == {f"{FIRST_PORT} 200"}
    assert gateway.stats("^cluster.http.")["cluster.http.health_check.network_failure"] >= 2
    world.start_nginx(SECOND_PORT)
    wait_for(gateway, "http", 2)
    assert answers(curl, 80) == BOTH


def test_a_server_that_says_503_gets_nothing_and_returns(gateway, world, curl):
    wait_for(gateway, "http", 2)
    with world.unavailable(FIRST_PORT):
        wait_for(gateway, "http", 1)
        before = world.requests(FIRST_PORT, "/")
        assert answers(curl, 80) == {f"{SECOND_PORT} 200"}
        assert world.requests(FIRST_PORT, "/") == before
    wait_for(gateway, "http", 2)
    assert answers(curl, 80) == BOTH


def test_nobody_answers_where_all_fail(gateway, world, curl):
    wait_for(gateway, "http", 2)
    with world.unavailable(FIRST_PORT), world.unavailable(SECOND_PORT):
        wait_for(gateway, "http", 0)
        assert answers(curl, 80, 5) == {"no healthy upstream503"}
    wait_for(gateway, "http", 2)


def test_a_server_that_says_that_it_goes_gets_nothing_more(gateway, world, curl):
    wait_for(gateway, "http", 2)
    port = int(curl(f"{BASE}/goes"))
    stats = gateway.stats("^cluster.http.")
    assert stats["cluster.http.health_check.passive_failure"] == 1
    other = FIRST_PORT + SECOND_PORT - port
    wait_for(gateway, "http", 2)  # checks say otherwise
    assert flags(gateway, "http", port) == flags(gateway, "http", other) == "healthy"


def test_events_are_logged(gateway, world):
    log = world.directory / "events.json"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    kinds = {kind for event in events for kind in event if kind.endswith("_event")}
    assert {"add_healthy_event", "eject_unhealthy_event"} <= kinds
    reasons = {event["eject_unhealthy_event"]["failure_type"] for event in events if "eject_unhealthy_event" in event}
    assert {"ACTIVE", "NETWORK", "PASSIVE"} <= reasons
    for event in events:
        assert event["cluster_name"] == "http"
        assert event["host"]["socket_address"]["port_value"] in (FIRST_PORT, SECOND_PORT)


def test_over_tcp_the_answer_counts(gateway, world, curl):
    wait_for(gateway, "tcp", 1)
    assert flags(gateway, "tcp", SECOND_PORT) == "/failed_active_hc/active_hc_timeout"
    assert answers(curl, 81) == {f"{FIRST_PORT} 200"}
    world.stop(SECOND_PROBE_PORT)
    world.start_probe(SECOND_PROBE_PORT, "PING? PONG!")
    wait_for(gateway, "tcp", 2)
    assert answers(curl, 81) == BOTH


def test_checks_go_over_the_clusters_tls(gateway, world, curl):
    wait_for(gateway, "secure", 1)
    assert answers(curl, 82, 5) == {f"{TLS_PORT} 200"}
    assert world.requests(TLS_PORT, "/healthz") > 0
    world.stop(TLS_PORT)
    wait_for(gateway, "secure", 0)
    world.start_nginx(TLS_PORT, tls=True)
    wait_for(gateway, "secure", 1)


def test_a_server_without_tls_never_comes_into_service(gateway, curl):
    wait_until(lambda: gateway.stats("^cluster.wrong.")["cluster.wrong.health_check.network_failure"] >= 2, 15, "two failures")
    assert healthy(gateway, "wrong") == 0
    assert answers(curl, 83, 5) == {"no healthy upstream503"}


def grpc_failures(world) -> list[str]:
    """Why the gRPC server was ejected, in order."""
    log = world.directory / "grpc-events.json"
    events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    assert all(event["health_checker_type"] == "GRPC" for event in events)
    return [event["eject_unhealthy_event"]["failure_type"] for event in events if "eject_unhealthy_event" in event]


def test_a_grpc_server_is_asked_as_envoy_asks(gateway, world, curl):
    wait_for(gateway, "grpc", 1)
    assert answers(curl, 84, 5) == {f"{FIRST_PORT} 200"}
    request = (world.directory / f"{GRPC_PORT}.requests").read_text().splitlines()[0]
    assert r"b'\n\tshop.Cart'" in request
    assert "key='x-probe', value='edge'" in request
    assert "key='user-agent', value='Envoy/HC" in request


@pytest.mark.parametrize("answer", ["2", "0", "UNIMPLEMENTED", "UNAVAILABLE"])
def test_a_grpc_server_that_does_not_serve_gets_nothing_and_returns(gateway, world, curl, answer):
    wait_for(gateway, "grpc", 1)
    before = gateway.stats("^cluster.grpc.")["cluster.grpc.health_check.network_failure"]
    world.set_grpc(GRPC_PORT, answer)
    wait_for(gateway, "grpc", 0)
    assert answers(curl, 84, 5) == {"no healthy upstream503"}
    assert gateway.stats("^cluster.grpc.")["cluster.grpc.health_check.network_failure"] == before
    wait_until(lambda: grpc_failures(world)[-1:] == ["ACTIVE"], 5, "the event")
    world.set_grpc(GRPC_PORT, "1")
    wait_for(gateway, "grpc", 1)
    assert answers(curl, 84, 5) == {f"{FIRST_PORT} 200"}


def test_a_grpc_server_that_hangs_times_out(gateway, world):
    wait_for(gateway, "grpc", 1)
    with world.hanging(GRPC_PORT):
        wait_for(gateway, "grpc", 0)
        assert flags(gateway, "grpc", FIRST_PORT) == "/failed_active_hc/active_hc_timeout"
    wait_for(gateway, "grpc", 1)


def test_a_grpc_server_that_dies_and_returns(gateway, world):
    wait_for(gateway, "grpc", 1)
    ejections = len(grpc_failures(world))
    world.stop(GRPC_PORT)
    wait_for(gateway, "grpc", 0)
    wait_until(lambda: grpc_failures(world)[ejections:] == ["NETWORK"], 5, "the event")
    world.start_grpc(GRPC_PORT, "1")
    wait_for(gateway, "grpc", 1)


def test_grpc_checks_go_over_the_clusters_tls(gateway, world):
    wait_for(gateway, "grpc-secure", 1)
    assert "shop.Cart" in (world.directory / f"{GRPC_TLS_PORT}.requests").read_text()
    world.set_grpc(GRPC_TLS_PORT, "2")
    wait_for(gateway, "grpc-secure", 0)
    world.set_grpc(GRPC_TLS_PORT, "1")
    wait_for(gateway, "grpc-secure", 1)
