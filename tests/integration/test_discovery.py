"""Configuration that files bring while the gateway runs: clusters, listeners, routes and endpoints, changed under load."""

import collections
import contextlib
import ipaddress
import json
import pathlib
import re
import socket
import struct
import subprocess
import threading

import pytest

from conftest import ORIGIN_PORT, Origin
from lab import GATEWAY, HOST, Gateway, Namespace, wait_until

API = "type.googleapis.com/envoy"
RELOADS = 50


class Files:
    """A directory of DiscoveryResponses, each moved into place."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.version = 0

    def path(self, name: str) -> pathlib.Path:
        return self.directory / f"{name}.json"

    def place(self, name: str, kind: str, resources: list[dict]) -> None:
        self.version += 1
        typed = [{"@type": f"{API}.config.{kind}", **resource} for resource in resources]
        self.place_text(name, json.dumps({"version_info": str(self.version), "resources": typed}, indent=1))

    def place_text(self, name: str, text: str) -> None:
        new = self.directory / "new"
        new.write_text(text)
        new.rename(self.path(name))

    def clusters(self, *clusters: dict) -> None:
        self.place("cds", "cluster.v3.Cluster", list(clusters))

    def listeners(self, *listeners: dict) -> None:
        self.place("lds", "listener.v3.Listener", list(listeners))

    def routes(self, name: str, cluster: str, header: str = "0") -> None:
        self.place("rds", "route.v3.RouteConfiguration", [{
            "name": name, "response_headers_to_add": [{"header": {"key": "x-generation", "value": header}}],
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]}]}])

    def endpoints(self, name: str, weights: list[int]) -> None:
        self.place("eds", "endpoint.v3.ClusterLoadAssignment", [{"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": address(HOST, ORIGIN_PORT)}, "load_balancing_weight": weight} for weight in weights]}]}])

    def source(self, name: str) -> dict:
        return {"path_config_source": {"path": str(self.path(name))}}


def address(ip: str, port: int) -> dict:
    return {"socket_address": {"address": ip, "port_value": port}}


def cluster(name: str, connect_timeout: str = "5s") -> dict:
    return {"name": name, "connect_timeout": connect_timeout, "load_assignment": {"cluster_name": name, "endpoints": [
        {"lb_endpoints": [{"endpoint": {"address": address(HOST, ORIGIN_PORT)}}]}]}}


def listener(name: str, port: int, files: Files, *, server: str = "envoy") -> dict:
    manager = {"@type": f"{API}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": name,
               "server_name": server, "rds": {"route_config_name": "routes", "config_source": files.source("rds")},
               "http_filters": [{"name": "router", "typed_config": {"@type": f"{API}.extensions.filters.http.router.v3.Router"}}]}
    return {"name": name, "address": address(GATEWAY, port), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}]}


@pytest.fixture
def lab(tmp_path):
    files = Files(tmp_path / "xds")
    files.directory.mkdir()
    files.endpoints("found", [1])
    found = {"name": "found", "type": "EDS", "eds_cluster_config": {"eds_config": files.source("eds")}}
    files.found = found
    files.routes("routes", "found")
    files.clusters(found, cluster("plain"))
    files.listeners(listener("edge", 80, files))
    text = "dynamic_resources: " + json.dumps({"cds_config": files.source("cds"), "lds_config": files.source("lds")})
    with Namespace() as namespace, Gateway(namespace, text) as gateway:
        directory = tmp_path / "nginx"
        directory.mkdir()
        tmp_path.chmod(0o755)
        Origin(namespace, directory)
        yield namespace, gateway, files


def headers(namespace, port: int = 80) -> str:
    result = namespace.run(["curl", "-sS", "-i", "--max-time", "10", f"http://{GATEWAY}:{port}/ok"], check=False, capture_output=True, text=True)
    return result.stdout.lower()


def used(gateway, name: str) -> int:
    return gateway.stats(name.replace(".", r"\.")).get(name, 0)


def test_fifty_reloads_under_load_fail_no_request(lab):
    namespace, gateway, files = lab
    assert "200 ok" in headers(namespace)
    client = namespace.start(["wrk", "-t1", "-c40", "-d120s", "--timeout", "10s", f"http://{GATEWAY}/ok"], stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: used(gateway, "http.edge.downstream_rq_2xx") > 100, 20, "load")
        for generation in range(RELOADS):
            target = "plain" if generation % 2 else "found"
            files.endpoints("found", [1 + generation])
            files.clusters(files.found, cluster("plain", f"{5 + generation % 3}s"), *([cluster(f"extra-{generation}")] if generation % 4 else []))
            files.routes("routes", target, str(generation))
            others = [listener("other", 81, files)] if generation % 3 == 0 else []
            files.listeners(listener("edge", 80, files, server=f"generation-{generation // 5}"), *others)
            wait_until(lambda: f"x-generation: {generation}\n" in headers(namespace), 10, f"routes of generation {generation}")
            assert client.poll() is None, "the load ended"
    finally:
        client.send_signal(2)
        text = client.communicate(timeout=30)[0]
    assert int(re.search(r"(\d+) requests in", text).group(1)) > 1000, text
    assert not re.findall(r"(?:Socket errors|Non-2xx).*", text), text
    stats = gateway.stats(r"update_|cluster_manager|listener_manager|upstream_rq_completed|snapshot_version")
    assert stats["cluster_manager.cds.update_rejected"] == 0
    assert stats["listener_manager.lds.update_success"] == RELOADS + 1
    assert stats["listener_manager.listener_removed"] > 10
    assert stats["cluster.found.upstream_rq_completed"] > 100 and stats["cluster.plain.upstream_rq_completed"] > 100
    assert stats["http.edge.rds.routes.update_success"] == RELOADS + 1
    assert stats["cluster.found.update_success"] == RELOADS + 1


def test_a_bad_file_is_told_and_changes_nothing(lab):
    namespace, gateway, files = lab
    files.place_text("lds", files.path("lds").read_text().replace('"port_value": 80', '"port_value": 0'))
    wait_until(lambda: used(gateway, "listener_manager.lds.update_rejected") == 1, 5, "the rejection")
    log = gateway.log_text()
    assert re.search(r"lds\.json:\d+: resources\[0\]\.address\.socket_address\.port_value: must be set", log), log
    assert "lds.json is refused: what was there before stays in use" in log
    files.place_text("cds", "resources: [")
    wait_until(lambda: used(gateway, "cluster_manager.cds.update_failure") == 1, 5, "the failure")
    assert "200 ok" in headers(namespace)
    files.listeners(listener("edge", 80, files), listener("more", 8080, files))
    wait_until(lambda: "200 ok" in headers(namespace, 8080), 10, "the listener of the good file")


def test_the_config_dump_shows_what_files_brought(lab):
    namespace, gateway, files = lab
    sections = {config["@type"].rpartition(".")[2]: config for config in json.loads(gateway.admin("/config_dump?include_eds"))["configs"]}
    clusters = sections["ClustersConfigDump"]
    assert [c["cluster"]["name"] for c in clusters["dynamic_active_clusters"]] == ["found", "plain"]
    assert clusters["version_info"] == clusters["dynamic_active_clusters"][0]["version_info"] == "3"
    (edge,) = sections["ListenersConfigDump"]["dynamic_listeners"]
    assert edge["name"] == "edge" and edge["active_state"]["version_info"] == "4"
    assert edge["active_state"]["listener"]["@type"] == f"{API}.config.listener.v3.Listener"
    (routes,) = sections["RoutesConfigDump"]["dynamic_route_configs"]
    assert routes["version_info"] == "2" and routes["route_config"]["name"] == "routes"
    found, plain = sections["EndpointsConfigDump"]["dynamic_endpoint_configs"]
    assert found["endpoint_config"]["cluster_name"] == "found" and found["version_info"] == "1"
    assert plain["endpoint_config"]["cluster_name"] == "plain" and "version_info" not in plain
    assert "found::added_via_api::true\n" in gateway.admin("/clusters")


class NameServer:
    """Answers A and AAAA over UDP on the host's loopback, where the agent asks; as long as it is silent, not at all, and as long as it is
    broken, by SERVFAIL."""

    def __init__(self):
        self.records: dict[str, list[str]] = {}
        self.ttls: dict[str, int] = {}  # s; else 30
        self.asked: collections.Counter[str] = collections.Counter()
        self.silent = self.broken = False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            query, client = self.socket.recvfrom(2048)
            if not query:
                return
            if not self.silent:
                self.socket.sendto(self._answer(query), client)

    def _answer(self, query: bytes) -> bytes:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind = struct.unpack_from(">H", query, at + 1)[0]
        name = ".".join(labels)
        self.asked[name] += 1
        addresses = [ipaddress.ip_address(text) for text in self.records.get(name, [])]
        wanted = [] if self.broken else [one.packed for one in addresses if kind == {4: 1, 6: 28}[one.version]]
        code = 2 if self.broken else 0 if name in self.records else 3
        header = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(wanted), 0, 0)
        return header + query[12:at + 5] + b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, self.ttls.get(name, 30), len(data)) + data for data in wanted)

    def close(self):
        self.socket.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join(5)
        self.socket.close()


def named_cluster(name: str, kind: str, port: int, server: NameServer, **more) -> dict:
    resolver = {"@type": f"{API}.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "resolvers": [address("127.0.0.1", server.port)], "dns_resolver_options": {"no_default_search_domain": True}}
    return {"name": name, "type": kind, "dns_lookup_family": "V4_ONLY", "dns_refresh_rate": "0.2s",
            "typed_dns_resolver_config": {"name": "cares", "typed_config": resolver},
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(f"{name}.test", port)}}]}]},
            **more}


WHO = r"""
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = (sys.argv[1] + " " + self.headers["host"]).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""
SECOND = "198.18.0.3"


@pytest.fixture
def names():
    server = NameServer()
    server.records = {"strict.test": [HOST], "logical.test": [HOST]}
    yield server
    server.close()


def named_gateway(namespace, names: NameServer, **more: dict) -> Gateway:
    """With a cluster of each kind, and STRICT_DNS ones of those names and fields."""
    clusters = [named_cluster(kind, f"{kind.upper()}_DNS", 8000, names) for kind in ("strict", "logical")]
    clusters += [named_cluster(name, "STRICT_DNS", 8000, names, **fields) for name, fields in more.items()]
    routes = [{"match": {"prefix": f"/{one['name']}"}, "route": {"cluster": one["name"], "auto_host_rewrite": True}} for one in clusters]
    edge = listener("edge", 80, Files(pathlib.Path("/")))
    manager = edge["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["rds"]
    manager["route_config"] = {"name": "r", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}
    return Gateway(namespace, "static_resources: " + json.dumps({"listeners": [edge], "clusters": clusters}),
                   host_addresses=[f"{HOST}/24", f"{SECOND}/24"])


@contextlib.contextmanager
def named_lab(names: NameServer, **more: dict):
    """The gateway, and what asks it for a path, with servers at both addresses that say which they are."""
    with Namespace() as namespace, named_gateway(namespace, names, **more) as gateway:
        for ip in (HOST, SECOND):
            namespace.start(["/usr/bin/python3", "-c", WHO, ip, "8000"])
            namespace.wait_for_port(ip, 8000)

        def ask(path: str) -> str:
            return namespace.run(["curl", "-sS", "--max-time", "5", f"http://{GATEWAY}{path}"], check=False, capture_output=True, text=True).stdout
        yield gateway, ask


def test_clusters_follow_their_names(names):
    with named_lab(names) as (gateway, ask):
        assert ask("/strict") == f"{HOST} strict.test", "ready means resolved; the name is what auto_host_rewrite writes"
        assert ask("/logical") == f"{HOST} logical.test"
        names.records["strict.test"] = [HOST, SECOND]
        wait_until(lambda: {ask("/strict") for _ in range(4)} == {f"{HOST} strict.test", f"{SECOND} strict.test"}, 10, "both addresses")
        connections = used(gateway, "cluster.logical.upstream_cx_total")
        names.records["logical.test"] = [SECOND]
        wait_until(lambda: f"logical::{SECOND}:8000::" in gateway.admin("/clusters"), 10, "the new address")
        assert ask("/logical") == f"{HOST} logical.test", "the connection that is there stays in use"
        assert used(gateway, "cluster.logical.upstream_cx_total") == connections
        failures = used(gateway, "cluster.strict.update_failure")
        del names.records["strict.test"]
        wait_until(lambda: ask("/strict") == "no healthy upstream", 10, "a name that is gone empties its cluster")
        assert used(gateway, "cluster.strict.update_empty") > 0
        assert used(gateway, "cluster.strict.update_failure") == failures
        assert used(gateway, "cluster.strict.update_no_rebuild") > 0


def test_records_say_how_long_they_hold(names):
    names.records |= {"brief.test": [HOST], "lasting.test": [HOST]}
    names.ttls["brief.test"] = 1
    with named_lab(names, brief={"respect_dns_ttl": True, "dns_refresh_rate": "300s"}, lasting={"respect_dns_ttl": True}) as (gateway, ask):
        assert ask("/brief") == f"{HOST} brief.test"
        names.records["brief.test"] = [SECOND]
        wait_until(lambda: ask("/brief") == f"{SECOND} brief.test", 10, "the new address, a second later")
        assert names.asked["strict.test"] > 3 and names.asked["lasting.test"] == 1, "asked each 0.2 s, and once in 30 s"


def test_addresses_stay_while_the_name_server_fails(names):
    with named_lab(names) as (gateway, ask):
        def failures() -> int:
            return min(used(gateway, f"cluster.{kind}.update_failure") for kind in ("strict", "logical"))

        assert failures() == 0
        names.broken = True
        wait_until(lambda: failures() >= 3, 20, "failures")
        names.silent = True
        assert [ask(f"/{kind}") for kind in ("strict", "logical")] == [f"{HOST} strict.test", f"{HOST} logical.test"]
        assert used(gateway, "cluster.strict.membership_total") == 1
        names.records = {"strict.test": [SECOND], "logical.test": [SECOND]}
        names.silent = names.broken = False
        wait_until(lambda: ask("/strict") == f"{SECOND} strict.test", 20, "the new address")


def test_the_gateway_waits_for_its_names(names):
    names.silent = True
    with Namespace() as namespace:
        gateway = named_gateway(namespace, names)
        threading.Timer(2, lambda: setattr(names, "silent", False)).start()
        seen = []
        ready = gateway._is_ready

        def watch():
            done = ready()
            seen.append((names.silent, done))
            return done
        gateway._is_ready = watch
        with gateway:
            assert (True, True) not in seen, "ready before any name was resolved"
            assert gateway.stats("cluster.strict.update_success")["cluster.strict.update_success"] >= 1
