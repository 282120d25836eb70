"""What the tests of control planes share: resources as JSON, a gateway that asks for them, and load that must not notice."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import subprocess
import threading
import time

import pytest

from certificates import Authority
from conftest import ORIGIN_PORT, Origin
from control_plane import ControlPlane
from lab import GATEWAY, HOST, Gateway, Namespace, wait_until

API = "type.googleapis.com/envoy"
FORMS = ["GRPC", "DELTA_GRPC"]
ADS = {"ads": {}, "resource_api_version": "V3"}
PORTS = (ORIGIN_PORT, ORIGIN_PORT + 1, ORIGIN_PORT + 2)  # on which the origin listens


# --- resources

def address(ip: str, port: int) -> dict:
    return {"socket_address": {"address": ip, "port_value": port}}


def assignment(name: str, *ports: int, weight: int = 1) -> dict:
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [
        {"endpoint": {"address": address(HOST, port)}, "load_balancing_weight": weight} for port in ports]}]}


def static_cluster(name: str, connect_timeout: str = "5s") -> dict:
    return {"name": name, "connect_timeout": connect_timeout, "load_assignment": assignment(name, ORIGIN_PORT)}


def eds_cluster(name: str, connect_timeout: str = "5s", source: dict = ADS) -> dict:
    return {"name": name, "type": "EDS", "connect_timeout": connect_timeout, "eds_cluster_config": {"eds_config": source}}


def routes(name: str, cluster: str, generation: str = "0") -> dict:
    """Everything goes to `cluster`; answers carry `generation`."""
    return {"name": name, "response_headers_to_add": [{"header": {"key": "x-generation", "value": generation}}],
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]}]}


def listener(name: str, port: int, route: str = "routes", *, server: str = "envoy", source: dict = ADS, tls: dict | None = None) -> dict:
    manager = {"@type": f"{API}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": name,
               "server_name": server, "rds": {"route_config_name": route, "config_source": source},
               "http_filters": [{"name": "router", "typed_config": {"@type": f"{API}.extensions.filters.http.router.v3.Router"}}]}
    chain = {"filters": [{"name": "hcm", "typed_config": manager}]}
    if tls:
        chain["transport_socket"] = {"name": "tls", "typed_config": {
            "@type": f"{API}.extensions.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": tls}}
    return {"name": name, "address": address(GATEWAY, port), "filter_chains": [chain]}


def secret(name: str, pair: tuple[pathlib.Path, pathlib.Path]) -> dict:
    certificate, key = pair
    return {"name": name, "tls_certificate": {"certificate_chain": {"inline_string": certificate.read_text()},
                                              "private_key": {"inline_string": key.read_text()}}}


# --- the bootstrap

def management_cluster(name: str, where: str, transport_socket: dict | None = None) -> dict:
    """`where`: "127.0.0.1:1234" or "unix:/path", as a control plane says it."""
    host, _, port = where.rpartition(":")
    place = {"pipe": {"path": port}} if host == "unix" else address(host, int(port))
    options = {"@type": f"{API}.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}
    made = {"name": name, "type": "STATIC", "connect_timeout": "1s",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": place}}]}]}}
    return made | ({"transport_socket": transport_socket} if transport_socket else {})


def api_source(form: str, *clusters: str) -> dict:
    """An ApiConfigSource that tries again soon."""
    patience = {"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}}
    return {"api_type": form, "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": name, "retry_policy": patience}} for name in clusters or ("xds",)]}


def ads_bootstrap(form: str, *management: dict, fetch_timeout: str | None = None) -> str:
    """Clusters and listeners come by ADS of these clusters."""
    source = ADS | ({"initial_fetch_timeout": fetch_timeout} if fetch_timeout else {})
    dynamic = {"ads_config": api_source(form, *(cluster["name"] for cluster in management)), "cds_config": source, "lds_config": source}
    return bootstrap_of(dynamic, *management)


def bootstrap_of(dynamic: dict, *clusters: dict, listeners: list[dict] | None = None) -> str:
    parts = {"node": {"id": "test-id", "cluster": "test-cluster"}, "dynamic_resources": dynamic,
             "static_resources": {"clusters": list(clusters), "listeners": listeners or []}}
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in parts.items())


# --- the gateway

class XdsGateway(Gateway):
    """A gateway that may have to wait for its control plane: `starting()` does not wait until it serves."""

    @contextlib.contextmanager
    def starting(self):
        failures = []

        def run():
            try:
                self.start()
            except Exception as error:  # told by the thread that waits
                failures.append(error)
        thread = threading.Thread(target=run)
        thread.start()
        try:
            wait_until(self._answers, 20, "the admin server")
            yield self
        finally:
            thread.join(5)
            self.close(show_log=bool(failures))
            thread.join(60)
        assert not failures, failures

    def _answers(self) -> bool:
        try:
            self.admin("/stats?filter=^server.live$")
        except OSError:
            return False
        return True

    def is_live(self) -> bool:
        try:
            return self.admin("/ready").strip() == "LIVE"
        except OSError:
            return False

    def value(self, name: str) -> int:
        """Of a counter or gauge; 0: there is none."""
        return self.stats("^" + re.escape(name) + "$").get(name, 0)


def answer(namespace, port: int = 80, *arguments: str, scheme: str = "http") -> str:
    """Head and body as curl shows them, in lower case; what curl says where there is none."""
    result = namespace.run(["curl", "-sS", "-i", "-k", "--max-time", "10", *arguments, f"{scheme}://{GATEWAY}:{port}/ok"], check=False,
                           capture_output=True, text=True)
    return (result.stdout or result.stderr).lower()


def generation_of(namespace, port: int = 80) -> str:
    match = re.search(r"x-generation: (\S+)", answer(namespace, port))
    return match.group(1) if match else ""


def serves(namespace, port: int = 80) -> bool:
    return "200 ok" in answer(namespace, port)


def first_snapshot(plane: ControlPlane) -> None:
    """Port 80 to the origin, all of it by ADS: version 1."""
    plane.set("CDS", "1", eds_cluster("found"), static_cluster("plain"))
    plane.set("EDS", "1", assignment("found", ORIGIN_PORT))
    plane.set("LDS", "1", listener("edge", 80))
    plane.set("RDS", "1", routes("routes", "found", "1"))


@contextlib.contextmanager
def serving(bootstrap: str, directory: pathlib.Path, **options):
    """Namespace and gateway, once it is live, with the origin behind it."""
    with Namespace() as namespace, XdsGateway(namespace, bootstrap, **options) as gateway:
        start_origin(namespace, directory)
        yield namespace, gateway


def start_origin(namespace, directory: pathlib.Path) -> Origin:
    place = directory / "nginx"
    place.mkdir()
    directory.chmod(0o755)
    return Origin(namespace, place, PORTS)


class Load:
    """wrk on kept-alive connections while the block runs; every request must have been answered with 2xx."""

    def __init__(self, namespace, gateway, *, connections: int = 40, url: str = f"http://{GATEWAY}/ok", name: str = "edge",
                 headers: tuple[str, ...] = ()):
        self.namespace, self.gateway, self.name = namespace, gateway, name
        self.command = ["wrk", "-t1", f"-c{connections}", "-d600s", "--timeout", "10s", *(part for field in headers for part in ("-H", field)), url]
        self.requests = 0

    def __enter__(self) -> "Load":
        counter = f"http.{self.name}.downstream_rq_2xx"
        before = self.gateway.value(counter)
        self.process = self.namespace.start(self.command, stdout=subprocess.PIPE, text=True)
        wait_until(lambda: self.gateway.value(counter) > before + 100, 20, "load")
        return self

    def __exit__(self, kind, *_) -> None:
        ended = self.process.poll() is not None
        if not ended:
            time.sleep(0.3)  # the last change has its requests, too
            self.process.send_signal(2)
        text = self.process.communicate(timeout=30)[0]
        if kind is not None:
            return
        assert not ended, f"the load ended by itself: {text}"
        self.requests = int(re.search(r"(\d+) requests in", text).group(1))
        assert not re.findall(r"(?:Socket errors|Non-2xx).*", text), text


# --- fixtures

@pytest.fixture(params=FORMS)
def form(request):
    return request.param


@pytest.fixture
def lab(plane, form, tmp_path):
    """Live with the first snapshot."""
    first_snapshot(plane)
    with serving(ads_bootstrap(form, management_cluster("xds", plane.address)), tmp_path) as (namespace, gateway):
        yield namespace, gateway, plane


@pytest.fixture
def tls(tmp_path):
    """A control plane that wants a certificate, and the transport socket with which it is asked."""
    authority = Authority(tmp_path / "ca", "control plane")
    server = authority.issue("server", names="DNS:xds.example")
    client = authority.issue("client", names="DNS:client.example")
    own = {"certificate_chain": {"filename": str(client[0])}, "private_key": {"filename": str(client[1])}}
    socket = {"name": "tls", "typed_config": {
        "@type": f"{API}.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni": "xds.example",
        "common_tls_context": {"tls_certificates": [own], "validation_context": {"trusted_ca": {"filename": str(authority.certificate)}}}}}
    with ControlPlane(certificate=server[0], key=server[1], client_ca=authority.certificate) as plane:
        first_snapshot(plane)
        yield plane, socket
