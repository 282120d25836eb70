"""What stands below HTTP, with real peers: the PROXY protocol from haproxy and to nginx, which filter chain a connection gets, limits of
connections and of their time, weighted clusters, and filters that serve them without an endpoint."""

import contextlib
import json
import ssl
import subprocess
import time

import pytest

from conftest import bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, static_cluster, stop, wait_until

API = "type.googleapis.com/envoy.extensions."
CLIENT = "198.18.0.50"  # an address of the namespace that only the client uses
PROXIED, TELLING, THROUGH, ECHO, DIRECT, LIMITED, RATED = range(8080, 8087)
MATCHED, HTTP_TOLD, ALPN_TOLD, LASTING, WEIGHTED = range(8090, 8095)
SEND_V1, SEND_V2, SEND_V2_THROUGH = 9001, 9002, 9003
TOLD, TOLD_TLS, PLAIN = 8100, 8101, 8102
LOG = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS%\\n"

PROXY_FILTER = (f'listener_filters: [{{name: proxy, typed_config: '
                f'{{"@type": {API}filters.listener.proxy_protocol.v3.ProxyProtocol, stat_prefix: edge}}}}]')


def tcp_listener(name: str, port: int, filters: list[str], before: str = "") -> str:
    return f"""  - name: {name}
    address: {{socket_address: {{address: "{GATEWAY}", port_value: {port}}}}}
    {before}
    filter_chains: [{{filters: [{", ".join(filters)}]}}]
"""


def network_filter(kind: str, fields: str = "") -> str:
    return f'{{name: f, typed_config: {{"@type": {API}filters.network.{kind}{fields}}}}}'


def tcp_proxy(cluster: str) -> str:
    return network_filter("tcp_proxy.v3.TcpProxy", f", stat_prefix: through, cluster: {cluster}")


def says(text: str) -> str:
    return network_filter("direct_response.v3.Config", f', response: {{inline_string: "{text}"}}')


def choosing_listener(name: str, port: int, before: str, chains: dict[str, str]) -> str:
    """Each chain says its name to whom it serves, by its match; one more says "default"."""
    of = ", ".join(f'{{name: {chain}, filter_chain_match: {{{match}}}, filters: [{says(chain)}]}}' for chain, match in chains.items())
    return f"""  - name: {name}
    address: {{socket_address: {{address: "{GATEWAY}", port_value: {port}}}}}
    {before}
    filter_chains: [{of}]
    default_filter_chain: {{filters: [{says("default")}]}}
"""


def inspector(kind: str) -> str:
    package = {"HttpInspector": "http_inspector", "TlsInspector": "tls_inspector"}[kind]
    return f'listener_filters: [{{name: i, typed_config: {{"@type": {API}filters.listener.{package}.v3.{kind}}}}}]'


def ranges(field: str, address: str, length: int) -> str:
    return f"{field}: [{{address_prefix: {address}, prefix_len: {length}}}]"


TLS = "transport_protocol: tls"
CHAINS = {
    "port": "destination_port: 9000",
    "wide": ranges("prefix_ranges", "10.1.0.0", 16),
    "narrow": ranges("prefix_ranges", "10.1.2.0", 24),
    "source": f'{ranges("prefix_ranges", "10.2.0.0", 16)}, {ranges("source_prefix_ranges", "192.0.2.0", 24)}',
    "source-port": f'{ranges("prefix_ranges", "10.2.0.0", 16)}, {ranges("source_prefix_ranges", "192.0.2.0", 24)}, source_ports: [4242]',
    "direct": f'{ranges("prefix_ranges", "10.3.0.0", 16)}, {ranges("direct_source_prefix_ranges", CLIENT, 32)}',
    "v6": ranges("prefix_ranges", '"2001:db8:1::"', 48),
}


def told(version: str, inner: str) -> str:
    return (f', transport_socket: {{name: pp, typed_config: {{"@type": {API}transport_sockets.proxy_protocol.v3.'
            f'ProxyProtocolUpstreamTransport, config: {{version: {version}}}, transport_socket: {{name: inner, typed_config: '
            f'{{"@type": {API}transport_sockets.{inner}}}}}}}}}')


@pytest.fixture(scope="module")
def gateway(namespace, tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "access.log"
    manager = (f'use_remote_address: true, access_log: [{{name: log, typed_config: {{"@type": {API}access_loggers.file.v3.FileAccessLog, '
               f'path: "{log}", log_format: {{text_format_source: {{inline_string: "{LOG}"}}}}}}}}]').replace(", access_log", "\n          access_log")
    listeners = (
        http_listener("proxied", PROXIED, "[{match: {prefix: /}, route: {cluster: plain}}]", manager=manager).replace(
            "    filter_chains:", f"    {PROXY_FILTER}\n    filter_chains:", 1) +
        http_listener("telling", TELLING, "[{match: {prefix: /tls}, route: {cluster: told-tls}}, {match: {prefix: /}, route: {cluster: told}}]") +
        tcp_listener("through", THROUGH, [tcp_proxy("told-v1")], PROXY_FILTER) +
        tcp_listener("echo", ECHO, [network_filter("echo.v3.Echo")]) +
        tcp_listener("direct", DIRECT, [network_filter("direct_response.v3.Config", ', response: {inline_string: "go away"}')]) +
        tcp_listener("limited", LIMITED, [network_filter("connection_limit.v3.ConnectionLimit", ", stat_prefix: two, max_connections: 2"),
                                          network_filter("echo.v3.Echo")]) +
        tcp_listener("rated", RATED, [network_filter("local_ratelimit.v3.LocalRateLimit",
                                                     ", stat_prefix: three, token_bucket: {max_tokens: 3, fill_interval: 3600s}"),
                                      network_filter("echo.v3.Echo")]))
    listeners += (
        choosing_listener("matched", MATCHED, PROXY_FILTER, CHAINS) +
        choosing_listener("http-told", HTTP_TOLD, inspector("HttpInspector"), {
            version.replace("/", "-"): f'application_protocols: ["{version}"]' for version in ("http/1.0", "http/1.1", "h2c")}) +
        choosing_listener("alpn-told", ALPN_TOLD, inspector("TlsInspector"), {
            "one": f"{TLS}, application_protocols: [one]", "http": f'{TLS}, application_protocols: ["http/1.1"]', "tls": TLS}) +
        tcp_listener("lasting", LASTING, [network_filter("tcp_proxy.v3.TcpProxy",
                                                         ", stat_prefix: lasting, cluster: plain, max_downstream_connection_duration: 0.5s")]) +
        tcp_listener("weighted", WEIGHTED, [network_filter("tcp_proxy.v3.TcpProxy", ", stat_prefix: weighted, weighted_clusters: {clusters: ["
                                                           "{name: heavy, weight: 3}, {name: light, weight: 1}]}")]))
    raw, tls = "raw_buffer.v3.RawBuffer", "tls.v3.UpstreamTlsContext"
    clusters = "".join(static_cluster(name, [(HOST, PLAIN)]) for name in ("plain", "heavy", "light"))
    clusters += (static_cluster("told", [(HOST, TOLD)], told("V2", raw)) +
                static_cluster("told-tls", [(HOST, TOLD_TLS)], told("V1", tls)) +
                static_cluster("told-v1", [(HOST, TOLD)], told("V1", raw)))
    with Gateway(namespace, bootstrap(listeners, clusters)) as made:
        made.access_log = log
        namespace.run(["ip", "address", "add", f"{CLIENT}/32", "dev", "lo"])
        yield made


@pytest.fixture(scope="module")
def peers(namespace, gateway, tmp_path_factory):
    """haproxy, that sends PROXY headers to the gateway, and nginx, that takes them from it."""
    directory = tmp_path_factory.mktemp("peers")
    directory.chmod(0o755)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=told", "-keyout", f"{directory}/key", "-out", f"{directory}/certificate"], check=True, stderr=subprocess.DEVNULL)
    sends = "\n".join(f"""
listen send{port}
  bind {HOST}:{port}
  server gateway {GATEWAY}:{to} {how}""" for port, to, how in ((SEND_V1, PROXIED, "send-proxy"), (SEND_V2, PROXIED, "send-proxy-v2"),
                                                             (SEND_V2_THROUGH, THROUGH, "send-proxy-v2")))
    (directory / "haproxy.cfg").write_text(f"""
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
{sends}
""")
    says = 'default_type text/plain; return 200 "$proxy_protocol_addr $proxy_protocol_server_port $http_x_forwarded_for $connection_requests\\n";'
    (directory / "nginx.conf").write_text(f"""
user root;
daemon off;
worker_processes 1;
error_log {directory}/error.log;
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  server {{ listen {HOST}:{TOLD} proxy_protocol; location / {{ {says} }} }}
  server {{ listen {HOST}:{TOLD_TLS} ssl proxy_protocol; ssl_certificate {directory}/certificate; ssl_certificate_key {directory}/key;
    location / {{ {says} }} }}
  server {{ listen {HOST}:{PLAIN}; location / {{ {says} }} }}
}}
""")
    processes = [namespace.start(["haproxy", "-db", "-f", str(directory / "haproxy.cfg")]),
                 namespace.start(["nginx", "-c", str(directory / "nginx.conf"), "-p", str(directory)])]
    for port in (SEND_V1, SEND_V2, SEND_V2_THROUGH, TOLD, TOLD_TLS, PLAIN):
        namespace.wait_for_port(HOST, port)
    yield
    for process in processes:
        stop(process)


def as_client(curl, url: str) -> list[str]:
    return curl("--interface", CLIENT, url).split()


@pytest.mark.parametrize("port", [SEND_V1, SEND_V2])
def test_haproxy_names_the_client(gateway, peers, curl, port):
    assert as_client(curl, f"http://{HOST}:{port}/")[-2] == CLIENT, "x-forwarded-for"
    line = f"{CLIENT} {HOST} {HOST}:{port}"
    wait_until(lambda: gateway.access_log.exists() and line in gateway.access_log.read_text().splitlines(), 10, f"a log line {line}")
    version = "v1" if port == SEND_V1 else "v2"
    assert gateway.stats("proxy_proto")[f"proxy_proto.edge.versions.{version}.found"] >= 1


def test_nobody_comes_without_a_header(namespace, gateway, peers):
    answer = namespace.run(["curl", "-s", "--max-time", "10", f"http://{GATEWAY}:{PROXIED}/"], check=False)
    assert answer.returncode != 0
    assert gateway.stats("proxy_proto")["proxy_proto.edge.not_found_disallowed"] == 1


def test_nginx_hears_who_the_client_is(gateway, peers, curl):
    client, port, *_ = as_client(curl, f"http://{GATEWAY}:{TELLING}/")
    assert (client, port) == (CLIENT, str(TELLING))
    client, port, *_ = as_client(curl, f"http://{GATEWAY}:{TELLING}/tls")
    assert (client, port) == (CLIENT, str(TELLING)), "the header comes before TLS"


def test_clients_share_no_connection_that_names_them(gateway, peers, curl):
    urls = [f"http://{GATEWAY}:{TELLING}/{i}" for i in range(3)]
    assert [line.split()[-1] for line in curl("--interface", CLIENT, *urls).splitlines()] == ["1", "2", "3"]
    assert as_client(curl, urls[0])[-1] == "1", "another connection of the client's is another client"


def test_tcp_proxy_passes_the_client_on(gateway, peers, curl):
    client, port, *_ = as_client(curl, f"http://{HOST}:{SEND_V2_THROUGH}/")
    assert (client, port) == (CLIENT, str(SEND_V2_THROUGH))


# Connects to the port that it is given so often, says "x" on each, waits for an answer or the end, and tells which came.
ASK = r"""
import socket, sys
sockets = [socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) for _ in range(int(sys.argv[3]))]
for one in sockets:
    try:
        one.sendall(b"x")
        print((one.recv(100) or b"closed").decode())
    except OSError:
        print("closed")
"""


def ask(namespace, port: int, times: int) -> list[str]:
    return namespace.output(["/usr/bin/python3", "-c", ASK, GATEWAY, str(port), str(times)]).splitlines()


def test_filters_that_serve_connections(namespace, gateway):
    assert ask(namespace, ECHO, 2) == ["x", "x"]
    assert ask(namespace, DIRECT, 1) == ["go away"]


def test_a_connection_limit(namespace, gateway):
    assert sorted(ask(namespace, LIMITED, 4)) == ["closed", "closed", "x", "x"]
    assert gateway.stats("connection_limit")["connection_limit.two.limited_connections"] == 2
    wait_until(lambda: gateway.stats("connection_limit")["connection_limit.two.active_connections"] == 0, 10, "places that are free again")
    assert ask(namespace, LIMITED, 2) == ["x", "x"]


def test_a_rate_of_connections(namespace, gateway):
    assert ask(namespace, RATED, 5) == ["x", "x", "x", "closed", "closed"]
    assert gateway.stats("local_ratelimit")["local_ratelimit.three.rate_limited"] == 2


# For each of a list of (own address, text): connects from there, says the text, and reads until the end. Tells what came.
SAY = r"""
import json, socket, sys
def ask(source, text):
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10, source_address=(source, 0)) as one:
        one.sendall(text.encode("latin1"))
        return b"".join(iter(lambda: one.recv(65536), b"")).decode("latin1")
print(json.dumps([ask(*each) for each in json.loads(sys.argv[3])]))
"""


def say(namespace, port: int, each: list[tuple[str, str]]) -> list[str]:
    return json.loads(namespace.output(["/usr/bin/python3", "-c", SAY, GATEWAY, str(port), json.dumps(each)], timeout=60))


def test_addresses_and_ports_choose_the_filter_chain(namespace, gateway):
    def header(source: str, destination: str, ports: str) -> str:
        return f"PROXY {'TCP6' if ':' in destination else 'TCP4'} {source} {destination} {ports}\r\n"

    expected = [
        (HOST, header("192.0.2.1", "10.9.9.9", "1000 9000"), "port"),
        (HOST, header("192.0.2.1", "10.1.2.3", "1000 9000"), "port"),  # asked before addresses
        (HOST, header("192.0.2.1", "10.1.9.9", "1000 80"), "wide"),
        (HOST, header("192.0.2.1", "10.1.2.3", "1000 80"), "narrow"),
        (HOST, header("192.0.2.1", "10.2.0.1", "1000 80"), "source"),
        (HOST, header("192.0.2.1", "10.2.0.1", "4242 80"), "source-port"),
        (HOST, header("203.0.113.1", "10.2.0.1", "4242 80"), "default"),
        (CLIENT, header("192.0.2.1", "10.3.0.1", "1000 80"), "direct"),
        (HOST, header(CLIENT, "10.3.0.1", "1000 80"), "default"),  # what a header says is not direct
        (HOST, header("2001:db8::7", "2001:db8:1::1", "1000 80"), "v6"),
        (HOST, header("192.0.2.1", "10.9.9.9", "1000 80"), "default"),
    ]
    assert say(namespace, MATCHED, [each[:2] for each in expected]) == [each[2] for each in expected]


def test_http_is_told_by_its_first_line(namespace, gateway):
    texts = ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "EHLO example\r\n"]
    assert say(namespace, HTTP_TOLD, [(HOST, text) for text in texts]) == ["http-1.1", "http-1.0", "h2c", "default"]
    stats = gateway.stats("http_inspector")
    assert [stats[f"http_inspector.{name}"] for name in ("http11_found", "http10_found", "http2_found", "http_not_found")] == [1, 1, 1, 1]


def test_what_clients_of_tls_offer_chooses_the_filter_chain(namespace, gateway):
    def client_hello(protocols: list[str]) -> str:
        context = ssl.create_default_context()
        if protocols:
            context.set_alpn_protocols(protocols)
        outgoing = ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a.example").do_handshake()
        return outgoing.read().decode("latin1")

    offers = [["one"], ["http/1.1"], ["two", "one"], ["h2", "http/1.1"], ["two"], []]
    seen = say(namespace, ALPN_TOLD, [(HOST, client_hello(offer)) for offer in offers] + [(HOST, "GET / HTTP/1.0\r\n\r\n")])
    assert seen == ["one", "http", "one", "http", "tls", "tls", "default"]


def test_a_connection_may_not_last_for_ever(namespace, gateway, peers):
    began = time.monotonic()
    assert say(namespace, LASTING, [(HOST, "GET /")]) == [""]
    assert 0.5 <= time.monotonic() - began < 5
    assert gateway.stats("^tcp.lasting")["tcp.lasting.max_downstream_connection_duration"] == 1


def test_connections_are_shared_among_clusters_by_weight(namespace, gateway, peers):
    assert all("200 OK" in answer for answer in say(namespace, WEIGHTED, [(HOST, "GET / HTTP/1.0\r\n\r\n")] * 400))
    stats = gateway.stats("upstream_cx_total")
    assert stats["cluster.heavy.upstream_cx_total"] + stats["cluster.light.upstream_cx_total"] == 400
    assert 255 < stats["cluster.heavy.upstream_cx_total"] < 345, "300, within five deviations"
