"""Keys of issuers that the gateway fetches itself: from a server that changes them, is slow, fails and comes back. The gateway asks
over the kernel's network, so its process runs in the namespace here, with a server at an address there that is not the TAP's."""

import contextlib
import ctypes
import http.server
import json
import os
import ssl
import subprocess
import threading
import time

import pytest

from certificates import Authority
from conftest import bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, free_port, static_cluster, stop, wait_until
from test_jwt import ECHO_ORIGIN, ORIGIN_PORT, Issuer, bearer

BASE = f"http://{GATEWAY}"
ISSUER = "198.18.9.1"
CLONE_NEWNET = 0x40000000


class InsideGateway(Gateway):
    """Its process is in the namespace, too, and its admin pages with it."""

    def command(self):
        return self.namespace.command(super().command())

    def admin(self, path, method="GET", timeout=10):
        command = ["curl", "-sS", "--fail", "--max-time", str(timeout), "-X", method, f"http://127.0.0.1:{self.admin_port}{path}"]
        try:
            return self.namespace.run(command, capture_output=True, text=True).stdout
        except subprocess.CalledProcessError as error:
            raise OSError(error.stderr) from error


def run_inside(namespace, action):
    """What `action` returns, called by a thread in the namespace. Sockets stay where they were made."""
    results = []

    def enter():
        with open(f"/run/netns/{namespace.name}") as file:
            assert ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        results.append(action())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return results[0]


class KeyServer:
    """Serves `keys` at /keys, with `status`, after `delay` seconds, and remembers what it was asked."""

    def __init__(self, namespace, keys: str, port: int = 0, context: ssl.SSLContext | None = None):
        self.keys, self.status, self.delay, self.requests = keys, 200, 0.0, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.requests.append((self.path, self.headers["host"]))
                time.sleep(outer.delay)
                body = outer.keys.encode()
                with contextlib.suppress(OSError):  # the client may have gone
                    self.send_response(outer.status)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # handshakes that clients give up
                pass

        self.server = run_inside(namespace, lambda: Server((ISSUER, port), Handler))
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.fixture(scope="module", autouse=True)
def origin(namespace):
    """Where requests go that pass. The interface comes with each gateway: bound to all addresses."""
    namespace.run(["ip", "address", "add", f"{ISSUER}/32", "dev", "lo"])
    server = namespace.start(["/usr/bin/python3", "-c", ECHO_ORIGIN, "0.0.0.0", str(ORIGIN_PORT)])
    yield server
    stop(server)


@contextlib.contextmanager
def running(namespace, port: int, remote: dict, transport_socket: str = "", **provider):
    """A gateway that has the keys of "issuer" from the cluster "keys"."""
    uri = {"uri": "https://issuer.test:8443/keys?v=1", "cluster": "keys", "timeout": "2s"}
    authentication = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"main": {"issuer": "issuer", "forward": True, "remote_jwks": {"http_uri": uri, **remote}, **provider}},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "main"}}]}
    filter_text = json.dumps({"name": "envoy.filters.http.jwt_authn", "typed_config": authentication})
    listener = http_listener("edge", 80, "[{match: {prefix: /}, route: {cluster: origin}}]")
    listener = listener.replace("http_filters:\n", f"http_filters:\n          - {filter_text}\n")
    clusters = static_cluster("origin", [(HOST, ORIGIN_PORT)]) + static_cluster("keys", [(ISSUER, port)], transport_socket)
    with InsideGateway(namespace, bootstrap(listener, clusters)) as gateway:
        yield gateway


@pytest.fixture
def ask(curl):
    """The status and the body for a token."""
    def answer(token: str) -> tuple[str, str]:
        text = curl("-w", "|%{http_code}", *bearer(token), f"{BASE}/books")
        return tuple(reversed(text.rsplit("|", 1)))
    return answer


def fetches(gateway) -> tuple[int, int]:
    """How many have succeeded and failed."""
    stats = gateway.stats("jwks_fetch")
    return stats["http.edge.jwt_authn.jwks_fetch_success"], stats["http.edge.jwt_authn.jwks_fetch_failed"]


def test_keys_are_fetched_once_and_verify_tokens(namespace, ask):
    issuer = Issuer()
    with KeyServer(namespace, issuer.jwks()) as server, running(namespace, server.port, {}) as gateway:
        for algorithm in ("RS256", "ES256", "EdDSA"):
            assert ask(issuer.token(algorithm))[0] == "200"
        assert ask(Issuer().token()) == ("401", "Jwt verification fails")
        assert server.requests == [("/keys?v=1", "issuer.test:8443")]
        assert fetches(gateway) == (1, 0)
        assert "jwks: https://issuer.test:8443/keys?v=1: 13 keys are in use" in gateway.log_text()


def test_keys_that_the_issuer_changes_are_taken(namespace, ask):
    old, new = Issuer(), Issuer()
    with KeyServer(namespace, old.jwks()) as server, running(namespace, server.port, {"cache_duration": "0.3s"}) as gateway:
        assert ask(old.token())[0] == "200"
        server.keys = new.jwks()
        wait_until(lambda: ask(new.token())[0] == "200", 5, "the new keys")
        assert ask(old.token()) == ("401", "Jwt verification fails")
        assert fetches(gateway)[0] >= 2


def test_the_last_keys_outlive_a_server_that_fails(namespace, ask):
    issuer = Issuer()
    with KeyServer(namespace, issuer.jwks()) as server:
        remote = {"cache_duration": "0.3s", "async_fetch": {"failed_refetch_duration": "0.2s"}}
        with running(namespace, server.port, remote) as gateway:
            assert ask(issuer.token())[0] == "200"
            server.status = 500
            wait_until(lambda: fetches(gateway)[1] >= 2, 5, "fetches that fail")
            assert ask(issuer.token())[0] == "200"
            server.status, server.keys = 200, "nonsense"
            failed = fetches(gateway)[1]
            wait_until(lambda: fetches(gateway)[1] >= failed + 2, 5, "answers without keys")
            assert ask(issuer.token())[0] == "200"
            server.close()
            failed = fetches(gateway)[1]
            wait_until(lambda: fetches(gateway)[1] >= failed + 2, 5, "connections that are refused")
            assert ask(issuer.token())[0] == "200"
            assert gateway.log_text().count("cannot be fetched") == 1, "a failure that lasts is told once"
            successes = fetches(gateway)[0]
            with KeyServer(namespace, issuer.jwks(), server.port):
                wait_until(lambda: fetches(gateway)[0] > successes, 5, "a success")
        server.server.server_close()


def test_without_keys_tokens_are_refused_until_they_come(namespace, ask):
    issuer, port = Issuer(), free_port()
    with running(namespace, port, {"async_fetch": {"fast_listener": True, "failed_refetch_duration": "0.2s"}}) as gateway:
        wait_until(lambda: fetches(gateway)[1] >= 1, 5, "a fetch that fails")
        assert ask(issuer.token()) == ("401", "Jwks remote fetch is failed")
        assert ask(issuer.token(exp=1)) == ("401", "Jwt is expired")
        with KeyServer(namespace, issuer.jwks(), port):
            wait_until(lambda: ask(issuer.token())[0] == "200", 5, "the keys")


def test_a_request_waits_for_the_first_fetch(namespace, curl, ask):
    issuer = Issuer()
    with KeyServer(namespace, issuer.jwks()) as server:
        server.delay = 1.5
        with running(namespace, server.port, {}) as gateway:
            assert fetches(gateway) == (0, 0), "the listener is open before the keys are there"
            assert curl(f"{BASE}/books") == "Jwt is missing"
            assert fetches(gateway) == (0, 0)
            assert ask(issuer.token())[0] == "200"
            assert fetches(gateway) == (1, 0)


def test_listeners_wait_for_the_first_fetch_with_async_fetch(namespace, ask):
    issuer = Issuer()
    with KeyServer(namespace, issuer.jwks()) as server:
        server.delay = 1.0
        with running(namespace, server.port, {"async_fetch": {}}) as gateway:
            assert fetches(gateway) == (1, 0)
            assert ask(issuer.token())[0] == "200"
    with running(namespace, free_port(), {"async_fetch": {}}) as gateway:
        assert fetches(gateway)[1] >= 1, "but not for one that succeeds"


def test_a_fetch_that_hangs_ends_with_its_timeout(namespace, ask):
    issuer = Issuer()
    with KeyServer(namespace, issuer.jwks()) as server:
        server.delay = 60
        remote = {"http_uri": {"uri": "http://issuer.test/keys", "cluster": "keys", "timeout": "0.5s"}}
        with running(namespace, server.port, remote) as gateway:
            assert ask(issuer.token()) == ("401", "Jwks remote fetch is failed")
            assert fetches(gateway)[1] >= 1


def test_a_fetch_is_tried_again_by_its_policy(namespace, ask):
    issuer = Issuer()
    with KeyServer(namespace, issuer.jwks()) as server:
        server.status = 503
        retries = {"num_retries": 20, "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.1s"}}
        remote = {"retry_policy": retries, "http_uri": {"uri": "http://issuer.test/keys", "cluster": "keys", "timeout": "20s"}}
        with running(namespace, server.port, remote) as gateway:
            wait_until(lambda: len(server.requests) >= 3, 5, "three tries")
            server.status = 200
            assert ask(issuer.token())[0] == "200"
            assert fetches(gateway) == (1, 0)


def test_the_clusters_tls_decides_whom_to_believe(namespace, ask, tmp_path):
    issuer = Issuer()
    authority = Authority(tmp_path / "root", "root")
    other = Authority(tmp_path / "other", "other")
    pair = authority.issue("keys", names="DNS:keys.test")

    def socket(trusted, name: str) -> str:
        validation = {"trusted_ca": {"filename": str(trusted)},
                      "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": name}}]}
        context = {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                   "sni": "keys.test", "common_tls_context": {"validation_context": validation}}
        return json.dumps({"name": "envoy.transport_sockets.tls", "typed_config": context})

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    names = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with KeyServer(namespace, issuer.jwks(), context=context) as server:
        for trusted, name, good in ((authority, "keys.test", True), (other, "keys.test", False), (authority, "else.test", False)):
            extra = f", transport_socket: {socket(trusted.certificate, name)}"
            with running(namespace, server.port, {}, extra) as gateway:
                wait_until(lambda: sum(fetches(gateway)) >= 1, 5, "a fetch")
                status, body = ask(issuer.token())
                assert status == "200" if good else (status, body) == ("401", "Jwks remote fetch is failed")
                assert ("cannot be fetched: The certificate" in gateway.log_text()) == (not good)
        assert set(names) == {"keys.test"}


def test_large_answers_are_refused(namespace, ask):
    issuer = Issuer()
    with KeyServer(namespace, issuer.jwks() + " " * (1 << 20)) as server, running(namespace, server.port, {}) as gateway:
        assert ask(issuer.token()) == ("401", "Jwks remote fetch is failed")
        assert "has more than 1048576 bytes" in gateway.log_text()
