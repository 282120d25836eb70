"""Connections to endpoints: several addresses, of which one swallows everything, and peers that fall silent."""

import pytest

from conftest import bootstrap, http_listener
from lab import GATEWAY, HOST, HOST6, GATEWAY6, Gateway, Namespace, stop, wait_until
from test_load_balancing import ORIGIN

PORT = 8000
# The host has a route to it, and passes nothing on.
SILENT6 = "2001:db8:99::1"


def address(ip: str, port: int = PORT) -> str:
    return f"{{socket_address: {{address: \"{ip}\", port_value: {port}}}}}"


def cluster(name: str, first: str, others: list[str], more: str = "") -> str:
    additional = ", ".join(f"{{address: {address(ip)}}}" for ip in others)
    return (f"  - name: {name}\n    connect_timeout: 5s\n    load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: "
            f"[{{endpoint: {{address: {address(first)}, additional_addresses: [{additional}]}}}}]}}]}}\n{more}")


def tcp_listener(name: str, port: int) -> str:
    return f"""  - name: {name}
    address: {address(GATEWAY, port)}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: {name}
          cluster: {name}
"""


@pytest.fixture(scope="module")
def lab():
    listeners = "".join(http_listener(name, port, f"[{{match: {{prefix: /}}, route: {{cluster: {name}}}}}]")
                        for name, port in (("dual", 80), ("six", 81), ("preferred", 82)))
    clusters = (cluster("dual", SILENT6, [HOST]) + cluster("six", HOST6, [HOST]) +
                cluster("preferred", SILENT6, [HOST], "    upstream_connection_options: {happy_eyeballs_config: "
                                                      "{first_address_family_version: V4}}\n") +
                cluster("through", SILENT6, [HOST]) +
                cluster("alive", HOST, [], "    upstream_connection_options: {tcp_keepalive: {keepalive_time: 1, "
                                           "keepalive_interval: 1, keepalive_probes: 2}}\n"))
    with Namespace() as namespace:
        dataplane = (f"workers: {{count: 1, idle: ADAPTIVE}}\n"
                     f"ports:\n"
                     f"- name: edge\n"
                     f"  tap: {{interface: mr0, netns: {namespace.name}}}\n"
                     f"  addresses: [{GATEWAY}/24, \"{GATEWAY6}/64\"]\n"
                     f"  routes: [{{to: \"::/0\", via: \"{HOST6}\"}}]\n")
        text = bootstrap(listeners + tcp_listener("through", 90) + tcp_listener("alive", 91), clusters)
        with Gateway(namespace, text, dataplane=dataplane) as gateway:
            origins = []
            for ip in (HOST, HOST6):
                family = "http.server.ThreadingHTTPServer.address_family = 10\n" if ip == HOST6 else ""
                origins.append(namespace.start(["/usr/bin/python3", "-c", ORIGIN.replace("class Handler", family + "class Handler"),
                                                ip, str(PORT)]))
            namespace.wait_for_port(HOST, PORT)
            namespace.wait_for_port(f"[{HOST6}]", PORT)
            wait_until(lambda: namespace.run(["ping", "-6", "-c1", "-W1", GATEWAY6], check=False, capture_output=True).returncode == 0, 10,
                       "the IPv6 address")
            yield namespace, gateway
            for origin in origins:
                stop(origin)


def ask(namespace, port: int) -> tuple[str, float]:
    """The body, and how long it took in seconds."""
    out = namespace.output(["curl", "-sS", "--max-time", "10", "-w", " %{time_total}", f"http://{GATEWAY}:{port}/"]).split()
    return out[0], float(out[1])


def count(gateway, name: str) -> int:
    return gateway.stats(rf"^cluster\.{name}$")[f"cluster.{name}"]


def test_an_address_that_swallows_everything_costs_its_pause(lab):
    namespace, gateway = lab
    body, seconds = ask(namespace, 80)
    assert body == str(PORT) and 0.29 < seconds < 1.5, (body, seconds)
    assert count(gateway, "dual.upstream_cx_total") == 2 and count(gateway, "dual.upstream_cx_active") == 1
    assert count(gateway, "dual.upstream_cx_connect_fail") == 0
    assert ask(namespace, 80)[1] < 0.25, "the connection is there"
    assert count(gateway, "dual.upstream_cx_total") == 2


def test_the_first_family_may_be_the_other(lab):
    namespace, gateway = lab
    body, seconds = ask(namespace, 82)
    assert body == str(PORT) and seconds < 0.25, seconds
    assert count(gateway, "preferred.upstream_cx_total") == 1


def test_an_address_that_answers_is_the_only_one(lab):
    namespace, gateway = lab
    assert ask(namespace, 81)[0] == str(PORT)
    assert count(gateway, "six.upstream_cx_total") == 1
    assert f"six::[{HOST6}]:{PORT}::cx_active::1" in gateway.admin("/clusters")


def test_connections_that_are_passed_through_try_their_addresses(lab):
    namespace, gateway = lab
    body, seconds = ask(namespace, 90)
    assert body == str(PORT) and 0.29 < seconds < 1.5, (body, seconds)
    assert count(gateway, "through.upstream_cx_total") == 2


# Holds a connection open without a word, and says when it ends.
IDLE = f"import socket; s = socket.create_connection(('{GATEWAY}', 91)); s.recv(1)"


def test_a_silent_origin_is_asked_and_given_up(lab):
    namespace, gateway = lab
    client = namespace.start(["/usr/bin/python3", "-c", IDLE])
    try:
        wait_until(lambda: count(gateway, "alive.upstream_cx_active") == 1, 5, "the connection")
        before = sum(gateway.stats(r"keep_alives").values())
        wait_until(lambda: sum(gateway.stats(r"keep_alives").values()) >= before + 2, 10, "two questions")
        assert count(gateway, "alive.upstream_cx_active") == 1, "it has answered"
        namespace.run(["ip", "route", "add", "blackhole", f"{GATEWAY}/32"])
        wait_until(lambda: count(gateway, "alive.upstream_cx_active") == 0, 10, "the end of the connection")
    finally:
        namespace.run(["ip", "route", "del", "blackhole", f"{GATEWAY}/32"], check=False)
        client.terminate()
        client.wait(10)
