"""Overload, injected and real: what is refused, what is limited, and what thousands of slow clients cost the others."""

import os
import subprocess
import time

import pytest

from conftest import ORIGIN_PORT, Origin, bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, Namespace, static_cluster, stop, wait_until

API = "type.googleapis.com/envoy.extensions."
EDGE, FREE, FEW, SLOW = 80, 81, 82, 83
SILENT_PORT = 8009
SLOW_CLIENTS = 600 if os.environ.get("MILLRACE_SANITIZE") else 3000  # of all kinds together
GLOBAL_LIMIT = 5000
SMALL_LIMIT = 4


def overload_manager(pressure_file) -> str:
    trigger = "triggers: [{name: injected, threshold: {value: %s}}]"
    actions = "".join(f"    - {{name: envoy.overload_actions.{name}, {trigger % value}}}\n" for name, value in (
        ("disable_http_keepalive", 0.5), ("stop_accepting_requests", 0.7), ("stop_accepting_connections", 0.9)))
    return f"""overload_manager:
  refresh_interval: 0.05s
  resource_monitors:
  - {{name: injected, typed_config: {{"@type": {API}resource_monitors.injected_resource.v3.InjectedResourceConfig, filename: "{pressure_file}"}}}}
  - {{name: heap, typed_config: {{"@type": {API}resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 4000000000}}}}
  - {{name: connections, typed_config: {{"@type": {API}resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig,
      max_active_downstream_connections: {GLOBAL_LIMIT}}}}}
  actions:
{actions}
layered_runtime: {{layers: [{{name: limits, static_layer: {{envoy.resource_limits.listener.few.connection_limit: 2}}}}]}}
"""


@pytest.fixture(scope="module")
def pressure(tmp_path_factory):
    file = tmp_path_factory.mktemp("overload") / "pressure"
    file.write_text("0")
    return file


@pytest.fixture(scope="module")
def gateway(namespace, pressure):
    routes = "[{match: {prefix: /}, route: {cluster: origin, timeout: 0s}}]"
    slow_routes = "[{match: {prefix: /silent}, route: {cluster: silent, timeout: 0s}}, {match: {prefix: /}, route: {cluster: origin, timeout: 0s}}]"
    limits = "request_headers_timeout: 6s\n          stream_idle_timeout: 6s\n          request_timeout: 10s\n          common_http_protocol_options: {max_stream_duration: 20s, idle_timeout: 12s}"
    listeners = (http_listener("edge", EDGE, routes, manager="append_local_overload: true") +
                 http_listener("free", FREE, routes).replace("    filter_chains:", "    bypass_overload_manager: true\n    filter_chains:", 1) +
                 http_listener("few", FEW, routes) + http_listener("slow", SLOW, slow_routes, manager=limits))
    clusters = static_cluster("origin", [(HOST, ORIGIN_PORT)]) + static_cluster("silent", [(HOST, SILENT_PORT)])
    text = overload_manager(pressure) + bootstrap(listeners, clusters)
    with Gateway(namespace, text) as made:
        yield made


@pytest.fixture(scope="module")
def origin(namespace, gateway, tmp_path_factory):
    made = Origin(namespace, tmp_path_factory.mktemp("origin"))
    made.add_file("large", 16 << 20)
    # Connections to it are established, and nobody ever accepts them.
    silence = "import socket, sys, time; s = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=4096); time.sleep(1e6)"
    namespace.start(["/usr/bin/python3", "-c", silence, HOST, str(SILENT_PORT)])
    namespace.wait_for_port(HOST, SILENT_PORT)
    return made


def injector(gateway, pressure):
    def set_to(value: float):
        fresh = pressure.with_suffix(".new")
        fresh.write_text(str(value))
        fresh.rename(pressure)
        wait_until(lambda: gateway.stats("overload")["overload.injected.pressure"] == round(value * 100), 10, f"a pressure of {value}")
    return set_to


@pytest.fixture
def inject(gateway, pressure):
    set_to = injector(gateway, pressure)
    yield set_to
    set_to(0)


def status(curl, port: int, *arguments) -> str:
    return curl("-o", "/dev/null", "-w", "%{http_code}", *arguments, f"http://{GATEWAY}:{port}/ok")


def test_requests_are_refused_until_the_pressure_is_gone(gateway, origin, curl, inject):
    assert status(curl, EDGE) == "200"
    inject(0.75)
    answer = curl("-i", f"http://{GATEWAY}:{EDGE}/ok")
    assert answer.startswith("HTTP/1.1 503 ") and "x-envoy-local-overloaded: true" in answer and answer.endswith("envoy overloaded")
    assert status(curl, FREE) == "200", "a listener that bypasses the overload manager"
    stats = gateway.stats("overload")
    assert stats["overload.envoy.overload_actions.stop_accepting_requests.active"] == 1
    assert stats["overload.envoy.overload_actions.stop_accepting_requests.scale_percent"] == 100
    assert stats["http.edge.downstream_rq_overload_close"] == 1
    assert 0 <= stats["overload.heap.pressure"] < 100
    inject(0)
    assert status(curl, EDGE) == "200"


def test_keep_alive_ends_before_requests_are_refused(gateway, origin, curl, inject):
    inject(0.6)
    answer = curl("-i", f"http://{GATEWAY}:{EDGE}/ok")
    assert answer.startswith("HTTP/1.1 200 ") and "connection: close" in answer.lower()


def test_connections_wait_while_none_are_accepted(namespace, gateway, origin, curl, inject):
    inject(0.95)
    refused = namespace.run(["curl", "-s", "--connect-timeout", "2", f"http://{GATEWAY}:{EDGE}/ok"], check=False)
    assert refused.returncode == 28, "nobody answers its SYN, and nobody resets it"
    assert status(curl, FREE) == "200"
    waiting = namespace.start(["curl", "-s", "-o", "/dev/null", "--max-time", "20", f"http://{GATEWAY}:{EDGE}/ok"])
    time.sleep(0.5)
    assert waiting.poll() is None
    inject(0)
    assert waiting.wait(20) == 0, "its SYN was sent again"


def test_a_listener_has_a_limit_of_its_own(namespace, gateway, origin):
    hold = ("import socket, sys\nsockets = []\nfor _ in range(3):\n"
            "  try:\n"
            "    one = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10); sockets.append(one)\n"
            "    one.sendall(b'GET /ok HTTP/1.1\\r\\nhost: a\\r\\n\\r\\n')\n"
            "    print(one.recv(12).decode() or 'closed')\n"
            "  except OSError: print('closed')\n")
    seen = namespace.output(["/usr/bin/python3", "-c", hold, GATEWAY, str(FEW)]).splitlines()
    assert seen == ["HTTP/1.1 200", "HTTP/1.1 200", "closed"]
    name = f"listener.{GATEWAY}_{FEW}.downstream_cx_overflow"
    assert gateway.stats("downstream_cx_overflow")[name] == 1


# Slow clients of three kinds, a third each: heads a byte at a time, bodies a byte at a time, and answers that nobody reads. Says when
# all are connected, and goes on until it is stopped.
SLOW_PROGRAM = r"""
import resource, socket, sys, time
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
FIRST = [b"GET /ok HTTP/1.1\r\nhost: a\r\nx-slow: ", b"PUT /silent HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n",
         b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n"]
open_ = {}
for i in range(count):
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.settimeout(20)
    one.connect((address, port))
    one.sendall(FIRST[i % 3])
    one.setblocking(False)
    open_[one] = i % 3
print("connected", flush=True)
while True:
    for one, kind in list(open_.items()):
        if kind == 2: continue
        try:
            one.send(b"a")
        except OSError:
            del open_[one]; one.close()
    time.sleep(1)
"""


def test_slow_clients_cost_little_and_are_ended(namespace, gateway, origin, curl):
    packets = "millrace.worker.0.packets_in_use"
    before = gateway.stats("packets_in_use")[packets]
    slow = namespace.start(["/usr/bin/python3", "-c", SLOW_PROGRAM, GATEWAY, str(SLOW), str(SLOW_CLIENTS)], stdout=subprocess.PIPE, text=True)
    assert slow.stdout.readline().strip() == "connected"
    time.sleep(5)  # the flood that a thousand origins' windows let loose is the link's matter
    times, answers = [], []
    for _ in range(20):
        began = time.monotonic()
        answers.append(curl("-i", f"http://{GATEWAY}:{EDGE}/ok").splitlines()[0])
        times.append(time.monotonic() - began)
    assert answers.count("HTTP/1.1 200 OK") >= 18, answers  # while buffers run out one may be told to come back (503)
    held = gateway.stats("packets_in_use")[packets] - before
    assert sorted(times)[10] < 0.5, f"half of the others' requests took longer: {times}"
    # Who does not read may use what is free, but never all of it: each gets a share of what is left.
    assert held < 62_000, f"{held} packet buffers for {SLOW_CLIENTS} clients: the pool has 65,536"
    active = []
    while (not active or active[-1] > 0) and len(active) < 12:
        time.sleep(5)
        active.append(gateway.stats()["http.slow.downstream_cx_active"])
    assert active[-1] == 0, f"slow clients, every 5 s: {active}"
    stats = {name.removeprefix("http.slow.downstream_rq_"): value for name, value in gateway.stats("http.slow.downstream_rq").items()}
    third = SLOW_CLIENTS // 3
    assert stats["header_timeout"] > third * 0.3 and stats["4xx"] > third * 0.8, stats  # 408, by this timeout or that
    stop(slow)
    wait_until(lambda: gateway.stats("packets_in_use")[packets] - before < 3_000, 30, "packet buffers to come back")
    assert status(curl, EDGE) == "200"


@pytest.fixture(scope="module")
def strict_gateway(tmp_path_factory):
    """A gateway of its own, that takes SMALL_LIMIT connections, resets new ones at a pressure of 0.5 and what holds most memory from 0.7 on;
    behind it an origin that never reads."""
    pressure = tmp_path_factory.mktemp("strict") / "pressure"
    pressure.write_text("0")
    actions = "".join(f"    - {{name: envoy.overload_actions.{name}, triggers: [{{name: injected, {trigger}}}]}}\n" for name, trigger in (
        ("reject_incoming_connections", "threshold: {value: 0.5}"),
        ("reset_high_memory_stream", "scaled: {scaling_threshold: 0.7, saturation_threshold: 0.9}")))
    manager = f"""overload_manager:
  refresh_interval: 0.05s
  buffer_factory_config: {{minimum_account_to_track_power_of_two: 17}}
  resource_monitors:
  - {{name: injected, typed_config: {{"@type": {API}resource_monitors.injected_resource.v3.InjectedResourceConfig, filename: "{pressure}"}}}}
  - {{name: connections, typed_config: {{"@type": {API}resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig,
      max_active_downstream_connections: {SMALL_LIMIT}}}}}
  actions:
{actions}"""
    routes = "[{match: {prefix: /silent}, route: {cluster: silent, timeout: 0s}}, {match: {prefix: /}, direct_response: {status: 200}}]"
    free = http_listener("free", FREE, routes).replace("    filter_chains:", "    ignore_global_conn_limit: true\n    filter_chains:", 1)
    text = manager + bootstrap(http_listener("edge", EDGE, routes) + free, static_cluster("silent", [(HOST, SILENT_PORT)]))
    with Namespace() as namespace, Gateway(namespace, text) as gateway:
        silence = "import socket, sys, time; s = socket.create_server((sys.argv[1], int(sys.argv[2]))); time.sleep(1e6)"
        namespace.start(["/usr/bin/python3", "-c", silence, HOST, str(SILENT_PORT)])
        namespace.wait_for_port(HOST, SILENT_PORT)
        gateway.inject = injector(gateway, pressure)
        yield gateway


@pytest.fixture
def strict(strict_gateway):
    yield strict_gateway
    strict_gateway.inject(0)


# Opens so many connections to a port, says in which of them a request is answered, and keeps them until its input ends; then asks again.
HOLD = r"""
import socket, sys
def begin(one):
    one.settimeout(10)
    try: one.connect((sys.argv[1], int(sys.argv[2])))
    except ConnectionResetError: return "reset"
    return ask(one)
def ask(one):
    try:
        one.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        return "200" if one.recv(1000).startswith(b"HTTP/1.1 200") else "closed"
    except (ConnectionResetError, BrokenPipeError): return "reset"
sockets = [socket.socket() for _ in range(int(sys.argv[3]))]
print(*map(begin, sockets), flush=True)
sys.stdin.read()
print(*map(ask, sockets))
"""


def hold(gateway, port: int, count: int) -> subprocess.Popen:
    return gateway.namespace.start(["/usr/bin/python3", "-c", HOLD, GATEWAY, str(port), str(count)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)


def test_all_listeners_together_have_a_limit(strict):
    first = hold(strict, EDGE, SMALL_LIMIT + 2)
    assert first.stdout.readline().split() == ["200"] * SMALL_LIMIT + ["reset"] * 2
    free = hold(strict, FREE, 2)
    assert free.communicate("", timeout=10)[0].split() == ["200"] * 4, "a listener that ignores the limit"
    assert strict.stats("overflow")[f"listener.{GATEWAY}_{EDGE}.downstream_global_cx_overflow"] == 2
    assert first.communicate("", timeout=10)[0].split()[:SMALL_LIMIT] == ["200"] * SMALL_LIMIT
    assert hold(strict, EDGE, 1).communicate("", timeout=10)[0].split() == ["200"] * 2, "there is room again"


def test_new_connections_are_rejected_and_others_go_on(strict):
    first = hold(strict, EDGE, 2)
    assert first.stdout.readline().split() == ["200"] * 2
    strict.inject(0.5)
    assert hold(strict, EDGE, 1).communicate("", timeout=10)[0].split()[0] == "reset"
    assert strict.stats("overload_reject")[f"listener.{GATEWAY}_{EDGE}.downstream_cx_overload_reject"] == 1
    assert first.communicate("", timeout=10)[0].split() == ["200"] * 2
    strict.inject(0)
    assert hold(strict, EDGE, 1).communicate("", timeout=10)[0].split() == ["200"] * 2


# Sends as much as is taken of a body of the size that it is given, says so, and when its input ends whether the connection is still there.
UPLOAD = r"""
import socket, sys
one = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1)
left = int(sys.argv[3])
one.sendall(b"PUT /silent HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n")
try:
    while left: left -= one.send(b"x" * min(left, 65536))
except TimeoutError: pass
print("sent", flush=True)
sys.stdin.read()
try: print("closed" if one.recv(1) == b"" else "answered")
except TimeoutError: print("open")
except ConnectionResetError: print("reset")
"""


def test_what_holds_most_memory_is_reset(strict):
    large, small = (strict.namespace.start(["/usr/bin/python3", "-c", UPLOAD, GATEWAY, str(EDGE), str(size)], stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, text=True) for size in (50_000_000, 1_000))
    assert [one.stdout.readline() for one in (large, small)] == ["sent\n"] * 2
    strict.inject(0.95)
    count = "overload.envoy.overload_actions.reset_high_memory_stream.count"
    wait_until(lambda: strict.stats("overload")[count] == 1, 10, "a reset")
    assert [one.communicate("", timeout=10)[0] for one in (large, small)] == ["reset\n", "open\n"]
    assert strict.stats("overload")[count] == 1
