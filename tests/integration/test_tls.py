"""TLS with real peers: openssl s_client and s_server, curl, gnutls-cli, nginx and haproxy, on a TAP."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import time

import pytest

from certificates import Authority
from conftest import ORIGIN_PORT, UPLOAD_ORIGIN, Origin, bootstrap
from lab import GATEWAY, HOST, Gateway, Namespace, static_cluster, wait_until

TLS, MUTUAL, TO_NGINX, TO_HAPROXY, TO_WRONG, TO_SERVER, PERMISSIVE, TO_MIXED = 443, 8443, 9443, 9444, 9445, 9446, 9447, 9448
NGINX_TLS, HAPROXY_TLS, SERVER_TLS = 8443, 8444, 8445
NAME = "shop.example"
SPIFFE_GATEWAY = "spiffe://cluster.local/ns/edge/sa/gateway"
SPIFFE_CLIENT = "spiffe://cluster.local/ns/default/sa/client"

MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
SOCKET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
ROUTER = "{name: envoy.filters.http.router, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}"


def listener(name: str, port: int, context: str, cluster: str, manager: str = "") -> str:
    return f"""  - name: {name}
    address: {{socket_address: {{address: {GATEWAY}, port_value: {port}}}}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config: {{"@type": {SOCKET}.DownstreamTlsContext, {context}}}
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/{MANAGER}
          stat_prefix: {name}
          {manager}
          http_filters: [{ROUTER}]
          route_config: {{name: {name}, virtual_hosts: [{{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: {cluster}, timeout: 120s}}}}]}}]}}
"""


def permissive(port: int, context: str, cluster: str) -> str:
    """TLS and plain text on one port, as Istio's permissive mode has it."""
    with_tls = listener("permissive", port, context, cluster)
    chain = with_tls[with_tls.index("    - transport_socket:"):]
    plain = "    - filters:" + chain.partition("      filters:")[2].replace("stat_prefix: permissive", "stat_prefix: permissive_plain")
    match = "    - filter_chain_match: {transport_protocol: %s}\n"
    inspector = ("    listener_filters: [{name: tls, typed_config: {\"@type\": type.googleapis.com/"
                 "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]\n")
    head = with_tls[:with_tls.index("    filter_chains:")]
    return (head + inspector + "    filter_chains:\n" + match % "tls" + chain.replace("    - transport", "      transport", 1)
            + match % "raw_buffer" + plain.replace("    - filters", "      filters", 1))


def files(pair) -> str:
    return f"{{certificate_chain: {{filename: {pair[0]}}}, private_key: {{filename: {pair[1]}}}}}"


def upstream(common: str, extra: str = "") -> str:
    return (f", transport_socket: {{name: envoy.transport_sockets.tls, typed_config: {{\"@type\": {SOCKET}.UpstreamTlsContext, "
            f"common_tls_context: {{{common}}}{extra}}}}}")


class World:
    """The certificates, the origins and the gateway of this file."""

    def __init__(self, directory):
        directory.chmod(0o755)
        self.directory = directory
        self.ca, self.other_ca = Authority(directory / "ca", "ca"), Authority(directory / "other", "other")
        self.ec = self.ca.issue("ec", names=f"DNS:{NAME},URI:{SPIFFE_GATEWAY}")
        self.rsa = self.ca.issue("rsa", names="DNS:rsa.example", key="rsa")
        self.wild = self.ca.issue("wild", names="DNS:*.wild.example")
        self.client = self.ca.issue("client", names=f"URI:{SPIFFE_CLIENT},DNS:client.example")
        self.stranger = self.other_ca.issue("stranger", names=f"URI:{SPIFFE_CLIENT}")
        self.expired = self.ca.issue("expired", names=f"URI:{SPIFFE_CLIENT}", days=(-10, -1))
        self.revoked = self.ca.issue("revoked", names=f"URI:{SPIFFE_CLIENT}")
        self.misnamed = self.ca.issue("misnamed", names="URI:spiffe://cluster.local/ns/default/sa/else")
        self.origin_pair = self.ca.issue("origin", names="DNS:origin.example,URI:spiffe://cluster.local/ns/default/sa/origin")
        self.swapped = (directory / "swapped.pem", directory / "swapped.key")
        self.install(self.ec)
        self.ca.revoke(self.revoked[0])
        self.crl = self.ca.crl()

    def install(self, pair) -> None:
        """Puts the pair where the permissive listener reads its certificate."""
        for source, target in zip(reversed(pair), reversed(self.swapped)):
            shutil.copy(source, f"{target}.new")
            os.replace(f"{target}.new", target)

    def bootstrap(self) -> str:
        certificates = ", ".join(files(pair) for pair in (self.ec, self.rsa, self.wild))
        trust = f"trusted_ca: {{filename: {self.ca.certificate}}}"
        plain = f"common_tls_context: {{alpn_protocols: [h2, http/1.1], tls_certificates: [{certificates}]}}"
        mutual = (f"require_client_certificate: true, common_tls_context: {{tls_certificates: [{files(self.ec)}], validation_context: "
                  f"{{{trust}, crl: {{filename: {self.crl}}}, match_typed_subject_alt_names: "
                  f"[{{san_type: URI, matcher: {{exact: \"{SPIFFE_CLIENT}\"}}}}]}}}}")
        details = ("forward_client_cert_details: SANITIZE_SET\n"
                   "          set_current_client_cert_details: {subject: true, uri: true, dns: true}")
        # Envoy's clients speak TLS 1.2 at most where nobody says otherwise.
        mine = f"tls_params: {{tls_maximum_protocol_version: TLSv1_3}}, tls_certificates: [{files(self.ec)}]"
        names = "match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: %s}}]"
        good = f"{mine}, validation_context: {{{trust}, {names % 'origin.example'}}}"
        wrong = f"{mine}, validation_context: {{{trust}, {names % 'another.example'}}}"
        swapped = f"common_tls_context: {{tls_certificates: [{files(self.swapped)}]}}"
        socket = upstream(good).removeprefix(", transport_socket: ")
        mixed = (f"  - {{name: mixed, type: STATIC, lb_policy: ROUND_ROBIN, transport_socket_matches: "
                 f"[{{name: mutual, match: {{tlsMode: istio}}, transport_socket: {socket}}}, "
                 f"{{name: plain, match: {{}}, transport_socket: {{name: envoy.transport_sockets.raw_buffer, typed_config: "
                 f"{{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}}}], "
                 f"load_assignment: {{cluster_name: mixed, endpoints: [{{lb_endpoints: ["
                 f"{{endpoint: {{address: {{socket_address: {{address: {HOST}, port_value: {NGINX_TLS}}}}}}}, metadata: {{filter_metadata: "
                 f"{{envoy.transport_socket_match: {{tlsMode: istio}}}}}}}}, "
                 f"{{endpoint: {{address: {{socket_address: {{address: {HOST}, port_value: {ORIGIN_PORT}}}}}}}}}]}}]}}}}\n")
        return bootstrap(
            listener("tls", TLS, plain, "origin")
            + permissive(PERMISSIVE, swapped, "origin")
            + listener("to_mixed", TO_MIXED, plain, "mixed")
            + listener("mutual", MUTUAL, mutual, "origin", details)
            + listener("to_nginx", TO_NGINX, plain, "nginx_tls")
            + listener("to_haproxy", TO_HAPROXY, plain, "haproxy_tls")
            + listener("to_wrong", TO_WRONG, plain, "wrong")
            + listener("to_server", TO_SERVER, plain, "server"),
            static_cluster("origin", [(HOST, ORIGIN_PORT)])
            + static_cluster("nginx_tls", [(HOST, NGINX_TLS)], upstream(good, ", sni: origin.example"))
            + static_cluster("haproxy_tls", [(HOST, HAPROXY_TLS)], upstream(good))
            + static_cluster("wrong", [(HOST, NGINX_TLS)], upstream(wrong))
            + static_cluster("server", [(HOST, SERVER_TLS)], upstream(good)) + mixed)


NGINX_TLS_CONFIG = """
daemon off;
user root;
worker_processes 1;
error_log {directory}/error_tls.log;
pid {directory}/nginx_tls.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 2;
  server {{
    listen {host}:{port} ssl;
    root {root};
    ssl_certificate {chain};
    ssl_certificate_key {key};
    ssl_client_certificate {ca};
    ssl_verify_client on;
    ssl_protocols TLSv1.2 TLSv1.3;
    location = /who {{ default_type text/plain; return 200 "sni=$ssl_server_name version=$ssl_protocol client=$ssl_client_s_dn reused=$ssl_session_reused\\n"; }}
    location / {{ }}
  }}
}}
"""

HAPROXY_TLS_CONFIG = """
global
  maxconn 200
  nbthread 1
  ssl-default-bind-options {options}
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend tls
  bind {host}:{port} ssl crt {pem} ca-file {ca} verify required
  http-request return status 200 content-type text/plain lf-string "%[ssl_fc_protocol] %[ssl_c_s_dn(cn)]\\n" if {{ path /who }}
  default_backend plain
backend plain
  server s {host}:{plain}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("tls"))


@contextlib.contextmanager
def serving(world, tls=""):
    """The gateway and its origins; `tls`: that field of the dataplane, in YAML."""
    with Namespace() as namespace:
        with Gateway(namespace, world.bootstrap(), tls=tls) as gateway:
            directory = world.directory / "origin"
            directory.mkdir()
            origin = Origin(namespace, directory)
            config = directory / "nginx_tls.conf"
            config.write_text(NGINX_TLS_CONFIG.format(
                directory=directory, root=origin.files, host=HOST, port=NGINX_TLS, chain=world.origin_pair[0],
                key=world.origin_pair[1], ca=world.ca.certificate))
            namespace.start(["nginx", "-c", str(config), "-p", str(directory)])
            namespace.wait_for_port(HOST, NGINX_TLS)
            yield namespace, gateway, origin


@pytest.fixture(scope="module")
def lab(world):
    with serving(world) as made:
        yield made


def ends_by_itself(process: subprocess.Popen, seconds: float = 5) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass


def s_client(namespace, world, port, *arguments, request=b"GET /ok HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
             pause=0.5, name=NAME, ca=None):
    """What `openssl s_client` says when it sends a request, its standard error included."""
    command = ["openssl", "s_client", "-connect", f"{GATEWAY}:{port}", "-CAfile", str(ca or world.ca.certificate),
               "-verify_return_error", *(["-servername", name] if name else ["-noservername"]), *map(str, arguments)]
    process = subprocess.Popen(namespace.command(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        *first, last = request if isinstance(request, list) else [request]
        for part in first:
            process.stdin.write(part)
            process.stdin.flush()
            time.sleep(pause)
        process.stdin.write(last)
        process.stdin.flush()
        # The end of its input ends its side, and a client that has ended its side is not answered: most end by themselves before.
        ends_by_itself(process)
        return process.communicate(timeout=30)[0].decode(errors="replace")
    except BrokenPipeError:
        return process.communicate(timeout=30)[0].decode(errors="replace")
    finally:
        process.kill()
        process.wait()


def tls_stats(gateway) -> dict[str, int]:
    return {name.rpartition("tls.")[2] if ".alerts" not in name else name.partition("tls.")[2]: value
            for name, value in gateway.stats("tls").items() if ".tls." in name}


# ---- a server to clients -------------------------------------------------------------------------------------------------------

TLS12 = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"]
TLS12_RSA = ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"]
TLS13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]


@pytest.mark.parametrize("cipher", TLS13)
def test_every_suite_of_tls13(lab, world, cipher):
    text = s_client(lab[0], world, TLS, "-tls1_3", "-ciphersuites", cipher)
    assert "HTTP/1.1 200 OK" in text and f"Cipher is {cipher}" in text, text


@pytest.mark.parametrize("cipher,name", [*((c, NAME) for c in TLS12), *((c, "rsa.example") for c in TLS12_RSA)])
def test_every_suite_of_tls12(lab, world, cipher, name):
    text = s_client(lab[0], world, TLS, "-tls1_2", "-cipher", cipher, name=name)
    assert "HTTP/1.1 200 OK" in text and f"Cipher is {cipher}" in text, text


@pytest.mark.parametrize("curve", ["X25519", "P-256", "P-384"])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_every_curve(lab, world, curve, version):
    # TLS 1.2 takes the curve of an ECDSA certificate for one of the key exchange: an RSA certificate fits all.
    assert "HTTP/1.1 200 OK" in s_client(lab[0], world, TLS, version, "-curves", curve, name="rsa.example")


@pytest.mark.parametrize("name,subject", [(NAME, "CN = ec"), ("rsa.example", "CN = rsa"), ("a.wild.example", "CN = wild"),
                                          ("a.b.wild.example", "CN = ec"), (None, "CN = ec")])
def test_certificate_follows_the_name_that_was_asked_for(lab, world, name, subject):
    text = s_client(lab[0], world, TLS, name=name)
    assert f"subject=O = Millrace tests, {subject}\n" in text, text


def test_versions_before_12_are_refused_with_an_alert(lab, world):
    text = s_client(lab[0], world, TLS, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert "alert protocol version" in text, text


def test_protocol_is_negotiated(lab, world):
    assert "ALPN protocol: http/1.1" in s_client(lab[0], world, TLS, "-alpn", "h2,http/1.1")
    assert "No ALPN negotiated" in s_client(lab[0], world, TLS, "-alpn", "spdy/3")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_sessions_are_resumed(lab, world, version, tmp_path):
    session = tmp_path / "session"
    before = tls_stats(lab[1])["handshakes_resumed"]
    first = s_client(lab[0], world, TLS, version, "-sess_out", session)
    assert "HTTP/1.1 200 OK" in first and "New, TLSv1" in first
    for _ in range(2):
        assert "Reused, TLSv1" in s_client(lab[0], world, TLS, version, "-sess_in", session)
    wait_until(lambda: tls_stats(lab[1])["handshakes_resumed"] == before + 2, 5, "both are counted")


def test_key_updates_in_both_directions(lab, world):
    request = b"GET /ok HTTP/1.1\r\nHost: shop.example\r\n\r\n"
    text = s_client(lab[0], world, TLS, "-tls1_3", request=[b"k\n", request, b"K\n", request, b"Q\n"])
    assert text.count("HTTP/1.1 200 OK") == 2 and "KEYUPDATE" in text, text
    counted = lambda stats: stats["key_updates_received"] >= 2 and stats["key_updates_sent"] >= 1
    wait_until(lambda: counted(tls_stats(lab[1])), 5, "key updates are counted")


def test_renegotiation_is_refused(lab, world):
    before = tls_stats(lab[1])["renegotiations_refused"]
    text = s_client(lab[0], world, TLS, "-tls1_2", request=[b"R\n"])
    assert "no renegotiation" in text.lower(), text
    wait_until(lambda: tls_stats(lab[1])["renegotiations_refused"] == before + 1, 5, "it is counted")


def test_a_client_that_does_not_speak_tls_is_let_go(lab, world):
    result = lab[0].run(["curl", "-sS", "--max-time", "5", f"http://{GATEWAY}:{TLS}/ok"], check=False, capture_output=True, text=True)
    assert result.returncode in (1, 52, 56), result
    assert s_client(lab[0], world, TLS).count("200 OK") == 1


def test_gnutls_is_served(lab, world):
    if shutil.which("gnutls-cli") is None:
        pytest.fail("gnutls-cli is missing: ./dev setup test installs it")
    for priority in ("NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"):
        client = subprocess.Popen(lab[0].command(
            ["gnutls-cli", "--priority", priority, "--x509cafile", str(world.ca.certificate), "--sni-hostname", NAME, "--verify-hostname",
             NAME, "-p", str(TLS), GATEWAY]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        client.stdin.write(b"GET /ok HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
        client.stdin.flush()
        ends_by_itself(client)
        text = client.communicate(timeout=20)[0].decode()
        assert "Handshake was completed" in text and "HTTP/1.1 200 OK" in text, text


def curl_tls(namespace, world, url_path, *arguments, port=TLS, name=NAME, timeout=300, **options):
    command = ["curl", "-sS", "--max-time", str(timeout), "--cacert", str(world.ca.certificate), "--resolve", f"{name}:{port}:{GATEWAY}",
               f"https://{name}:{port}{url_path}", *map(str, arguments)]
    return namespace.run(command, check=False, capture_output=True, **options)


def test_curl_verifies_us_and_gets_its_answer(lab, world):
    result = curl_tls(lab[0], world, "/ok", "-w", "%{ssl_verify_result}")
    assert result.stdout == b"ok\n0", result


def test_headers_say_that_it_was_https(lab, world):
    assert b"proto=https" in curl_tls(lab[0], world, "/headers").stdout


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_bulk_download_is_intact_and_sealed_by_the_record_engine(lab, world, bulk_bytes, version):
    namespace, gateway, origin = lab
    expected = origin.add_file("bulk", bulk_bytes)
    before = tls_stats(gateway)
    client = subprocess.Popen(namespace.command(
        ["curl", "-sS", "--max-time", "300", f"--tlsv{version}", "--tls-max", version, "--cacert", str(world.ca.certificate), "--resolve",
         f"{NAME}:{TLS}:{GATEWAY}", f"https://{NAME}:{TLS}/bulk"]), stdout=subprocess.PIPE)
    digest = hashlib.sha256()
    wait_until(lambda: tls_stats(gateway)["bytes_sealed"] > before["bytes_sealed"], 20, "the first bytes")
    during = tls_stats(gateway)
    while block := client.stdout.read(1 << 20):
        digest.update(block)
    assert client.wait() == 0
    assert digest.hexdigest() == expected
    wait_until(lambda: tls_stats(gateway)["bytes_sealed"] - before["bytes_sealed"] >= bulk_bytes, 5, "all bytes are counted")
    after = tls_stats(gateway)
    assert after["library_bytes_sealed"] == before["library_bytes_sealed"]
    assert during["library_objects"] == 0, "no OpenSSL object is left for a session that goes on"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_bulk_upload_is_intact(lab, world, bulk_bytes, version):
    namespace, _, origin = lab
    expected = origin.add_file("up", bulk_bytes)
    with origin.replaced_by(UPLOAD_ORIGIN):
        result = curl_tls(namespace, world, "/up", "-T", origin.files / "up", "-H", "Expect:", f"--tlsv{version}", "--tls-max", version)
        assert result.stdout.decode() == expected, result.stderr


def test_close_notify_ends_what_we_send(lab, world):
    """The client reads until close_notify: without one it would complain of an unexpected end."""
    text = s_client(lab[0], world, TLS, "-quiet", "-ign_eof")
    assert "200 OK" in text and "unexpected eof" not in text, text


# ---- mutual TLS ----------------------------------------------------------------------------------------------------------------

def identity(pair) -> list:
    return ["-cert", pair[0], "-key", pair[1]]


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_client_with_a_certificate_of_ours_is_served(lab, world, version):
    assert "HTTP/1.1 200 OK" in s_client(lab[0], world, MUTUAL, version, *identity(world.client))


ECHO_XFCC = r"""
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = (self.headers.get("x-forwarded-client-cert") or "none").encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


def test_the_origin_hears_who_the_client_is(lab, world):
    namespace, _, origin = lab
    with origin.replaced_by(ECHO_XFCC):
        result = curl_tls(namespace, world, "/x", "--cert", world.client[0], "--key", world.client[1], "-H",
                          "x-forwarded-client-cert: By=a;Hash=forged", port=MUTUAL)
        der = subprocess.run(["openssl", "x509", "-in", world.client[0], "-outform", "DER"], check=True, capture_output=True).stdout
        assert result.stdout.decode() == (f"By={SPIFFE_GATEWAY};Hash={hashlib.sha256(der).hexdigest()};"
                                          f"Subject=\"CN=client,O=Millrace tests\";URI={SPIFFE_CLIENT};DNS=client.example"), result.stderr


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("who,alert,counter", [
    (None, {"-tls1_2": "handshake failure", "-tls1_3": "certificate required"}, "fail_verify_no_cert"),
    ("stranger", "unknown ca", "fail_verify_error"),
    ("expired", "certificate expired", "fail_verify_error"),
    ("revoked", "certificate revoked", "fail_verify_error"),
    ("misnamed", "bad certificate", "fail_verify_san"),
])
def test_clients_that_must_not_come_in_are_told_why_and_counted(lab, world, who, alert, counter, version):
    namespace, gateway, _ = lab
    name = f"listener.{GATEWAY}_{MUTUAL}.ssl.{counter}"
    before = gateway.stats("ssl")[name]
    text = s_client(namespace, world, MUTUAL, version, *(identity(getattr(world, who)) if who else []))
    assert f"alert {alert if isinstance(alert, str) else alert[version]}" in text, text
    assert "200 OK" not in text
    wait_until(lambda: gateway.stats("ssl")[name] == before + 1, 5, f"{name} counts it")


def test_who_asks_for_an_ocsp_staple_is_counted(lab, world):
    namespace, gateway, _ = lab
    counters = [f"listener.{GATEWAY}_{TLS}.ssl.ocsp_staple_{name}" for name in ("requests", "omitted", "responses", "failed")]
    before = [gateway.stats("ssl")[name] for name in counters]
    text = s_client(namespace, world, TLS, "-status")
    assert "OCSP response: no response sent" in text and "200 OK" in text, text
    wait_until(lambda: [gateway.stats("ssl")[name] - past for name, past in zip(counters, before)] == [1, 1, 0, 0], 5,
               "a staple was asked for, and there is none")


def test_plain_text_and_tls_on_one_port(lab, world):
    assert curl_tls(lab[0], world, "/headers", port=PERMISSIVE).stdout.count(b"proto=https") == 1
    plain = lab[0].run(["curl", "-sS", f"http://{GATEWAY}:{PERMISSIVE}/headers"], check=True, capture_output=True)
    assert b"proto=http " in plain.stdout


def test_a_new_certificate_is_used_without_dropping_a_connection(lab, world):
    namespace, gateway, _ = lab
    subject = lambda: next((line for line in s_client(namespace, world, PERMISSIVE).splitlines()
                            if line.startswith("subject=")), "")
    assert subject() == "subject=O = Millrace tests, CN = ec"
    request = b"GET /ok HTTP/1.1\r\nHost: shop.example\r\n\r\n"
    kept = subprocess.Popen(namespace.command(["openssl", "s_client", "-connect", f"{GATEWAY}:{PERMISSIVE}", "-quiet"]),
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        kept.stdin.write(request)
        kept.stdin.flush()
        world.install(world.ca.issue("second", names=f"DNS:{NAME}"))
        wait_until(lambda: subject() == "subject=O = Millrace tests, CN = second", 10, "the new certificate")
        world.swapped[0].write_text("no certificate")
        wait_until(lambda: "refused" in gateway.log_text(), 10, "a broken file is refused")
        assert subject() == "subject=O = Millrace tests, CN = second"
        kept.stdin.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        kept.stdin.flush()
        assert kept.communicate(timeout=10)[0].count(b"HTTP/1.1 200 OK") == 2
    finally:
        kept.kill()
        kept.wait()


# ---- a client to origins ---------------------------------------------------------------------------------------------------------

def test_nginx_as_origin_with_mutual_tls(lab, world):
    result = curl_tls(lab[0], world, "/who", port=TO_NGINX)
    assert result.stdout.decode().startswith("sni=origin.example version=TLSv1.3 client=CN=ec,O=Millrace tests"), result


def test_endpoints_choose_their_transport_socket(lab, world):
    answers = {curl_tls(lab[0], world, "/who", "-w", "%{http_code}", port=TO_MIXED).stdout[-20:] for _ in range(4)}
    assert any(answer.endswith(b"404") for answer in answers) and any(answer.endswith(b"200") for answer in answers), answers


def test_upstream_sessions_are_resumed(lab, world):
    """This nginx closes a connection after two requests: the next one resumes the session."""
    namespace, gateway, _ = lab
    answers = [curl_tls(namespace, world, "/who", port=TO_NGINX).stdout for _ in range(6)]
    assert any(b"reused=r" in answer for answer in answers), answers
    assert gateway.stats("nginx_tls")["cluster.nginx_tls.ssl.session_reused"] >= 1


@pytest.mark.parametrize("options,version", [("ssl-min-ver TLSv1.3", "TLSv1.3"), ("ssl-max-ver TLSv1.2", "TLSv1.2")])
def test_haproxy_as_origin_with_mutual_tls(lab, world, options, version, bulk_bytes):
    namespace, _, origin = lab
    pem = world.directory / "origin.pem"
    pem.write_text(world.origin_pair[0].read_text() + world.origin_pair[1].read_text())
    config = world.directory / "haproxy.cfg"
    config.write_text(HAPROXY_TLS_CONFIG.format(host=HOST, port=HAPROXY_TLS, pem=pem, ca=world.ca.certificate, plain=ORIGIN_PORT,
                                                options=options))
    haproxy = namespace.start(["haproxy", "-f", str(config), "-db"])
    try:
        namespace.wait_for_port(HOST, HAPROXY_TLS)
        assert curl_tls(namespace, world, "/who", port=TO_HAPROXY).stdout.decode() == f"{version} ec\n"
        size = min(bulk_bytes, 1 << 27)
        expected = origin.add_file("through", size)
        body = curl_tls(namespace, world, "/through", port=TO_HAPROXY).stdout
        assert hashlib.sha256(body).hexdigest() == expected
    finally:
        haproxy.terminate()
        haproxy.wait()


def test_an_origin_with_the_wrong_name_is_refused(lab, world):
    result = curl_tls(lab[0], world, "/who", "-i", port=TO_WRONG)
    text = result.stdout.decode()
    assert "HTTP/1.1 503" in text and "transport failure reason: TLS" in text and "origin.example" in text, text
    assert lab[1].stats("wrong")["cluster.wrong.ssl.fail_verify_san"] >= 1


@pytest.mark.parametrize("pair,alert", [("stranger_server", "unknown ca"), ("expired_server", "certificate expired")])
def test_origins_that_must_not_be_believed_are_told_why(lab, world, pair, alert):
    namespace, _, _ = lab
    made = (world.other_ca.issue("s1", names="DNS:origin.example") if pair == "stranger_server"
            else world.ca.issue("s2", names="DNS:origin.example", days=(-10, -1)))
    server = namespace.start(["openssl", "s_server", "-accept", f"{HOST}:{SERVER_TLS}", "-cert", str(made[0]), "-key", str(made[1]),
                              "-www"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        namespace.wait_for_port(HOST, SERVER_TLS)
        assert b"HTTP/1.1 503" in curl_tls(namespace, world, "/", "-i", port=TO_SERVER).stdout
    finally:
        server.terminate()
    assert f"alert {alert}" in server.communicate(timeout=10)[0].decode()


def test_a_server_that_sends_key_updates_is_understood(lab, world):
    namespace, gateway, _ = lab
    made = world.origin_pair
    server = namespace.start(["openssl", "s_server", "-accept", f"{HOST}:{SERVER_TLS}", "-cert", str(made[0]), "-key", str(made[1]),
                              "-tls1_3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        namespace.wait_for_port(HOST, SERVER_TLS)
        client = subprocess.Popen(namespace.command(
            ["curl", "-sS", "--max-time", "20", "--cacert", str(world.ca.certificate), "--resolve", f"{NAME}:{TO_SERVER}:{GATEWAY}",
             f"https://{NAME}:{TO_SERVER}/"]), stdout=subprocess.PIPE)
        time.sleep(1)
        for part in (b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n1234", b"K\n", b"5678"):
            server.stdin.write(part)
            server.stdin.flush()
            time.sleep(0.5)
        assert client.communicate(timeout=20)[0] == b"12345678"
    finally:
        server.kill()
        server.wait()
    wait_until(lambda: tls_stats(gateway)["key_updates_received"] >= 1, 5, "it is counted")


def test_certificates_are_listed_with_their_days(lab, world):
    text = lab[1].admin("/certs")
    assert "days_until_expiration" in text and NAME in text


def test_nothing_is_left_when_all_clients_have_gone(lab):
    def quiet():
        stats = tls_stats(lab[1])
        return stats["library_objects"] == 0 and stats["bad_record"] == 0 and stats["no_memory"] == 0
    wait_until(quiet, 10, "no object of OpenSSL is left, and no session was in error")
