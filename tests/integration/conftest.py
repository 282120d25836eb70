"""Fixtures: a namespace with a real nginx as origin, and the real gateway on a TAP in front of it."""

import contextlib
import hashlib
import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "lab"))

from control_plane import ControlPlane  # noqa: E402
from lab import GATEWAY, HOST, Gateway, Namespace, static_cluster, stop, wait_until  # noqa: E402

ORIGIN_PORT = 8000
NGINX_CONFIG = """
daemon off;
worker_processes 1;
error_log {directory}/error.log;
pid {directory}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path {directory}/body;
  server {{
    {listen}
    root {directory}/www;
    client_max_body_size 0;
    location = /ok {{ default_type text/plain; return 200 "ok\\n"; }}
    location = /headers {{ default_type text/plain; return 200 "xff=$http_x_forwarded_for proto=$http_x_forwarded_proto id=$http_x_request_id host=$host\\n"; }}
    location /teapot {{ return 418; }}
    location / {{ }}
  }}
}}
"""


# Answers a PUT with the SHA-256 of its body.
UPLOAD_ORIGIN = r"""
import hashlib, http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_PUT(self):
        digest, left = hashlib.sha256(), int(self.headers["content-length"])
        while left:
            block = self.rfile.read1(min(left, 1 << 20))
            if not block: break
            digest.update(block); left -= len(block)
        body = digest.hexdigest().encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


def http_listener(name: str, port: int, routes: str, *, address: str = GATEWAY, manager: str = "") -> str:
    """A listener with one connection manager, as YAML for static_resources.listeners. `routes` is a YAML flow list."""
    return f"""  - name: {name}
    address: {{socket_address: {{address: "{address}", port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {name}
          {manager}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config: {{name: {name}, virtual_hosts: [{{name: all, domains: ["*"], routes: {routes}}}]}}
"""


def bootstrap(listeners: str, clusters: str) -> str:
    return f"static_resources:\n  listeners:\n{listeners}  clusters:\n{clusters}"


def gateway_with_two_workers(namespace, text: str) -> Gateway:
    """What workers share has to be shared."""
    dataplane = (f"ports:\n"
                 f"- name: edge\n"
                 f"  tap: {{interface: mr0, netns: {namespace.name}}}\n"
                 f"  addresses: [{GATEWAY}/24]\n")
    return Gateway(namespace, text, dataplane=dataplane, arguments=["--concurrency", "2"])


class Origin:
    """nginx in the namespace, with a directory of files that it serves."""

    def __init__(self, namespace, directory: pathlib.Path, ports: tuple[int, ...] = (ORIGIN_PORT,)):
        self.files = directory / "www"
        self.files.mkdir()
        directory.chmod(0o755)
        self.files.chmod(0o755)
        config = directory / "nginx.conf"
        listen = " ".join(f"listen {HOST}:{port} backlog=4096;" for port in ports)
        config.write_text("user root;\n" + NGINX_CONFIG.format(directory=directory, listen=listen))
        self.namespace = namespace
        self.command = ["nginx", "-c", str(config), "-p", str(directory)]
        self.process = self._start(self.command)

    def _start(self, command: list[str]):
        process = self.namespace.start(command)
        self.namespace.wait_for_port(HOST, ORIGIN_PORT)
        return process

    @contextlib.contextmanager
    def replaced_by(self, script: str):
        """A Python program with address and port as its arguments takes nginx's place for a while."""
        stop(self.process)
        server = self.namespace.start(["/usr/bin/python3", "-c", script, HOST, str(ORIGIN_PORT)])
        try:
            self.namespace.wait_for_port(HOST, ORIGIN_PORT)
            yield
        finally:
            stop(server)
            self.process = self._start(self.command)

    def add_file(self, name: str, size: int) -> str:
        """A file of pseudo-random bytes; returns its SHA-256."""
        digest = hashlib.sha256()
        block = hashlib.shake_256(name.encode()).digest(1 << 20)
        with open(self.files / name, "wb") as file:
            for start in range(0, size, len(block)):
                part = (start.to_bytes(8, "big") + block[8:])[: size - start]
                digest.update(part)
                file.write(part)
        return digest.hexdigest()


@pytest.fixture(scope="session")
def bulk_bytes() -> int:
    """1 GiB; less where a sanitizer makes bytes expensive."""
    sanitized = bool(os.environ.get("MILLRACE_SANITIZE"))
    return int(os.environ.get("MILLRACE_BULK_BYTES", 1 << 26 if sanitized else 1 << 30))


@pytest.fixture(scope="module")
def namespace():
    with Namespace() as made:
        made.run(["sysctl", "-qw", "net.ipv4.ip_local_port_range=10000 65000"])
        yield made


@pytest.fixture(scope="module")
def gateway(namespace):
    """The plain reverse proxy of most tests: 198.18.0.2:80 in front of nginx at 198.18.0.1:8000."""
    text = bootstrap(
        http_listener("edge", 80, "[{match: {prefix: /}, route: {cluster: origin, timeout: 120s}}]"),
        static_cluster("origin", [(HOST, ORIGIN_PORT)]) + static_cluster("upload", [(HOST, 8001)]))
    with Gateway(namespace, text) as made:
        yield made


@pytest.fixture(scope="module")
def origin(namespace, gateway, tmp_path_factory):
    """Needs the gateway first: its TAP carries the origin's address."""
    return Origin(namespace, tmp_path_factory.mktemp("origin"))


@pytest.fixture
def plane():
    """A control plane at one port of the host's loopback, with nothing to say yet."""
    with ControlPlane() as made:
        yield made


@pytest.fixture
def curl(namespace):
    def run(*arguments, timeout=60):
        result = namespace.run(["curl", "-sS", "--max-time", str(timeout), *arguments], check=False, capture_output=True, text=True)
        assert result.returncode == 0, f"curl failed with {result.returncode}: {result.stderr}"
        return result.stdout
    return run
