"""One port for several protocols: TLS passed through by its server name, plain HTTP beside it. Real clients, real origins, and the
origins' certificates as the proof that nobody between them has ended TLS."""

import hashlib
import re
import subprocess

import pytest

from conftest import ORIGIN_PORT, bootstrap
from lab import GATEWAY, HOST, Gateway, static_cluster, wait_until

PORT = 443
API = "type.googleapis.com/envoy.extensions.filters."
LOG = "%REQUESTED_SERVER_NAME% %UPSTREAM_CLUSTER% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_HOST% %FILTER_CHAIN_NAME%\\n"
NAMES = {"a.example": 8441, "www.b.example": 8442, "sink.example": 8443}


def tcp_chain(name: str, match: str, cluster: str, log: str, *, before: str = "", fields: str = "") -> str:
    return f"""    - name: {name}
      filter_chain_match: {{{match}}}
      filters: [{before}{{name: tcp, typed_config: {{"@type": {API}network.tcp_proxy.v3.TcpProxy, stat_prefix: through,
        cluster: {cluster}{fields}, access_log: [{{name: log, typed_config: {{
        "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "{log}",
        log_format: {{text_format_source: {{inline_string: "{LOG}"}}}}}}}}]}}}}]
"""


def listener(log: str) -> str:
    sni = f'{{name: sni, typed_config: {{"@type": {API}network.sni_cluster.v3.SniCluster}}}}, '
    return f"""  - name: shared
    address: {{socket_address: {{address: "{GATEWAY}", port_value: {PORT}}}}}
    listener_filters: [{{name: tls, typed_config: {{"@type": {API}listener.tls_inspector.v3.TlsInspector}}}}]
    listener_filters_timeout: 2s
    filter_chains:
""" + (tcp_chain("chain-a", "server_names: [a.example]", "a", log) +
       tcp_chain("chain-b", 'server_names: ["*.b.example"]', "b", log) +
       tcp_chain("by-name", "server_names: [sink.example]", "nowhere", log, before=sni) +
       tcp_chain("closed", "server_names: [closed.example]", "closed", log, fields=", max_connect_attempts: 2")) + f"""
    - name: plain
      filter_chain_match: {{transport_protocol: raw_buffer}}
      filters:
      - name: hcm
        typed_config:
          "@type": {API}network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: plain
          http_filters: [{{name: router, typed_config: {{"@type": {API}http.router.v3.Router}}}}]
          route_config: {{virtual_hosts: [{{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: plain, timeout: 0s}}}}]}}]}}
"""


@pytest.fixture(scope="module")
def log_path(tmp_path_factory):
    return tmp_path_factory.mktemp("log") / "access.log"


@pytest.fixture(scope="module")
def gateway(namespace, log_path):
    ports = {"a": 8441, "b": 8442, "sink.example": 8443, "plain": ORIGIN_PORT, "closed": 9}
    clusters = "".join(static_cluster(name, [(HOST, port)]) for name, port in ports.items())
    with Gateway(namespace, bootstrap(listener(str(log_path)), clusters)) as made:
        yield made


# A TLS origin that says how much came, and its hash.
SINK = r"""
import hashlib, socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[3], sys.argv[4])
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    plain, _ = server.accept()
    try:
        with context.wrap_socket(plain, server_side=True) as client:
            left, digest = int(client.recv(16)), hashlib.sha256()
            client.sendall(b"go")
            while left:
                block = client.recv(min(left, 1 << 18))
                if not block: break
                digest.update(block); left -= len(block)
            client.sendall(digest.hexdigest().encode())
    except OSError as error:
        print(error, flush=True)
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Name -> (certificate, key): each origin has its own, which signs itself."""
    directory = tmp_path_factory.mktemp("certificates")
    directory.chmod(0o755)
    made = {}
    for name in NAMES:
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out",
                        str(certificate)], check=True, stderr=subprocess.DEVNULL)
        made[name] = certificate, key
    return made


@pytest.fixture(scope="module")
def origins(namespace, gateway, certificates, tmp_path_factory):
    """nginx with a TLS server for each name and a plain one; files lie in the directory that this returns."""
    directory = tmp_path_factory.mktemp("origins")
    directory.chmod(0o755)
    servers = "".join(f"""
  server {{
    listen {HOST}:{NAMES[name]} ssl;
    ssl_certificate {certificates[name][0]};
    ssl_certificate_key {certificates[name][1]};
    root {directory};
    location = /who {{ default_type text/plain; return 200 "{name}\\n"; }}
  }}""" for name in ("a.example", "www.b.example"))
    config = directory / "nginx.conf"
    config.write_text(f"""user root;
daemon off;
error_log {directory}/error.log;
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  server {{ listen {HOST}:{ORIGIN_PORT}; location / {{ default_type text/plain; return 200 "plain\\n"; }} }}{servers}
}}
""")
    namespace.start(["nginx", "-c", str(config), "-p", str(directory)])
    certificate, key = certificates["sink.example"]
    namespace.start(["/usr/bin/python3", "-c", SINK, HOST, str(NAMES["sink.example"]), str(certificate), str(key)])
    for port in (*NAMES.values(), ORIGIN_PORT):
        namespace.wait_for_port(HOST, port)
    return directory


def https(name: str, path: str, certificates, trusted: str | None = None) -> list[str]:
    """curl's arguments for a page of `name`; `trusted`: whose certificate is expected."""
    return ["--resolve", f"{name}:{PORT}:{GATEWAY}", "--cacert", str(certificates[trusted or name][0]), f"https://{name}:{PORT}{path}"]


def test_the_server_name_chooses_the_origin(gateway, origins, certificates, curl):
    for name in ("a.example", "www.b.example"):
        assert curl(*https(name, "/who", certificates)) == f"{name}\n"


def test_names_of_any_case_are_the_same_name(gateway, origins, certificates, namespace):
    text = namespace.run(["openssl", "s_client", "-connect", f"{GATEWAY}:{PORT}", "-servername", "A.EXAMPLE"], input="",
                         capture_output=True, text=True, timeout=30).stdout
    assert re.search(r"subject=CN ?= ?a\.example", text)


def test_plain_http_is_served_on_the_same_port(gateway, origins, curl):
    assert curl(f"http://{GATEWAY}:{PORT}/") == "plain\n"


def test_an_unknown_name_is_closed_and_counted(gateway, origins, namespace):
    before = gateway.stats()["listener.198.18.0.2_443.no_filter_chain_match"]
    result = namespace.run(["openssl", "s_client", "-connect", f"{GATEWAY}:{PORT}", "-servername", "c.example"], input="",
                           capture_output=True, text=True, timeout=30, check=False)
    assert "BEGIN CERTIFICATE" not in result.stdout
    assert gateway.stats()["listener.198.18.0.2_443.no_filter_chain_match"] == before + 1


# A TLS client whose first message leaves byte by byte.
DRIP = r"""
import socket, ssl, sys, time
address, port, name, trusted = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
context = ssl.create_default_context(cafile=trusted)
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
session = context.wrap_bio(incoming, outgoing, server_hostname=name)
wire = socket.create_connection((address, port), timeout=20)
wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
first = True
def run(call):
    global first
    while True:
        try:
            result = call()
            wire.sendall(outgoing.read())
            return result
        except ssl.SSLWantReadError:
            data = outgoing.read()
            if first and data:
                first = False
                for i in range(len(data)):
                    wire.send(data[i:i + 1])
                    time.sleep(0.0005)
            else:
                wire.sendall(data)
            got = wire.recv(65536)
            incoming.write(got) if got else incoming.write_eof()
run(session.do_handshake)
run(lambda: session.write(b"GET /who HTTP/1.0\r\n\r\n"))
print(run(lambda: session.read(65536)).decode())
"""


def test_a_first_message_in_segments_of_one_byte_is_understood(gateway, origins, certificates, namespace):
    text = namespace.output(["/usr/bin/python3", "-c", DRIP, GATEWAY, str(PORT), "a.example", str(certificates["a.example"][0])],
                            timeout=60)
    assert text.startswith("HTTP/1.1 200 OK")


def test_a_silent_client_is_closed_in_time(gateway, namespace):
    before = gateway.stats()["listener.198.18.0.2_443.downstream_pre_cx_timeout"]
    script = f"import socket; s = socket.create_connection(('{GATEWAY}', {PORT})); s.settimeout(20); print(s.recv(1))"
    assert namespace.output(["/usr/bin/python3", "-c", script]).strip() == "b''"
    stats = gateway.stats()
    assert stats["listener.198.18.0.2_443.downstream_pre_cx_timeout"] == before + 1
    assert stats["listener.198.18.0.2_443.downstream_pre_cx_active"] == 0


def test_a_large_download_is_intact(gateway, origins, certificates, namespace, bulk_bytes):
    size = bulk_bytes // 4
    block = hashlib.shake_256(b"download").digest(1 << 20)
    expected = hashlib.sha256()
    with open(origins / "bulk", "wb") as file:
        for start in range(0, size, len(block)):
            part = (start.to_bytes(8, "big") + block[8:])[: size - start]
            expected.update(part)
            file.write(part)
    client = namespace.start(["curl", "-sS", "--max-time", "300", *https("a.example", "/bulk", certificates)], stdout=subprocess.PIPE)
    digest, received = hashlib.sha256(), 0
    while part := client.stdout.read(1 << 20):
        digest.update(part)
        received += len(part)
    assert client.wait() == 0
    assert received == size
    assert digest.hexdigest() == expected.hexdigest()


UPLOAD = r"""
import hashlib, socket, ssl, sys
address, port, name, trusted, size = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
context = ssl.create_default_context(cafile=trusted)
block = hashlib.shake_256(b"upload").digest(1 << 20)
with context.wrap_socket(socket.create_connection((address, port), timeout=120), server_hostname=name) as server:
    server.sendall(str(size).encode())
    assert server.recv(2) == b"go"
    digest = hashlib.sha256()
    for start in range(0, size, len(block)):
        part = (start.to_bytes(8, "big") + block[8:])[: size - start]
        digest.update(part)
        server.sendall(part)
    print(server.recv(64).decode() == digest.hexdigest())
"""


def test_a_large_upload_is_intact(gateway, origins, certificates, namespace, bulk_bytes):
    text = namespace.output(["/usr/bin/python3", "-c", UPLOAD, GATEWAY, str(PORT), "sink.example",
                             str(certificates["sink.example"][0]), str(bulk_bytes // 4)], timeout=300)
    assert text.strip() == "True"


def test_a_refused_endpoint_ends_the_connection(gateway, origins, namespace, log_path):
    result = namespace.run(["openssl", "s_client", "-connect", f"{GATEWAY}:{PORT}", "-servername", "closed.example"], input="",
                           capture_output=True, text=True, timeout=30, check=False)
    assert "BEGIN CERTIFICATE" not in result.stdout
    wait_until(lambda: "closed.example closed UF,URX" in log_path.read_text(), 5, "a line about it in the access log")
    assert gateway.stats()["cluster.closed.upstream_cx_connect_fail"] == 2


def test_what_happened_was_counted_and_logged(gateway, origins, certificates, curl, log_path):
    curl(*https("www.b.example", "/who", certificates))
    line = rf"^www\.b\.example b - [1-9]\d* [1-9]\d* {re.escape(HOST)}:8442 chain-b$"
    wait_until(lambda: re.search(line, log_path.read_text(), re.MULTILINE), 5, "a line about it in the access log")
    stats = gateway.stats()
    assert stats["tcp.through.downstream_cx_total"] >= 5
    assert stats["tls_inspector.tls_found"] >= 5
    assert stats["tls_inspector.sni_found"] >= 5
    assert stats["tls_inspector.tls_not_found"] >= 1
    assert stats["cluster.b.upstream_cx_total"] >= 1
    wait_until(lambda: gateway.stats()["cluster.b.upstream_cx_active"] == 0, 5, "the end of the connections to b")


def test_a_connection_that_is_passed_through_survives_until_the_drain_ends(gateway, origins, certificates, namespace):
    """The last test: the gateway is stopped under it."""
    client = namespace.start(["openssl", "s_client", "-quiet", "-connect", f"{GATEWAY}:{PORT}", "-servername", "a.example"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wait_until(lambda: gateway.stats()["cluster.a.upstream_cx_active"] == 1, 10, "a connection")
    gateway.admin("/drain_listeners?graceful", "POST")
    client.stdin.write(b"GET /who HTTP/1.0\r\n\r\n")
    client.stdin.flush()
    assert b"a.example" in client.stdout.read()
    client.wait(10)
