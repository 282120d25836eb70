"""What a control plane is told of load: its orders, and reports of real requests."""

import collections
import contextlib

import pytest

from conftest import ORIGIN_PORT, bootstrap, gateway_with_two_workers, http_listener
from control_plane import ControlPlane
from lab import GATEWAY, HOST, Namespace, stop, wait_until
from xds_lab import XdsGateway, ads_bootstrap, api_source, assignment, eds_cluster, listener, management_cluster, routes

PORTS = (ORIGIN_PORT, ORIGIN_PORT + 1)
# /bad is answered with 503, /slow and /late after a second.
ORIGIN = r"""
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path in ("/slow", "/late"): time.sleep(1)
        self.send_response(503 if self.path == "/bad" else 200); self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""
CLUSTERS = """
  - name: zones
    type: STATIC
    common_lb_config: {locality_weighted_lb_config: {}}
    load_assignment:
      cluster_name: zones
      endpoints:
      - locality: {region: r, zone: near}
        load_balancing_weight: 1
        lb_endpoints: [{endpoint: {address: {socket_address: {address: HOST, port_value: 8000}}}}]
      - locality: {region: r, zone: far, sub_zone: rack}
        load_balancing_weight: 1
        lb_endpoints: [{endpoint: {address: {socket_address: {address: HOST, port_value: 8001}}}}]
  - name: plain
    type: STATIC
    load_assignment:
      cluster_name: plain
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: HOST, port_value: 8000}}}}]}]
  - name: dropped
    type: STATIC
    load_assignment:
      cluster_name: dropped
      policy: {drop_overloads: [{category: throttle, drop_percentage: {numerator: 100}}]}
""".replace("HOST", HOST)
LISTENERS = {"zones": 80, "plain": 81, "dropped": 82}


@contextlib.contextmanager
def origins(namespace):
    servers = [namespace.start(["/usr/bin/python3", "-c", ORIGIN, HOST, str(port)]) for port in PORTS]
    try:
        for port in PORTS:
            namespace.wait_for_port(HOST, port)
        yield
    finally:
        for server in servers:
            stop(server)


@pytest.fixture(scope="module")
def plane():
    with ControlPlane() as made:
        yield made


@pytest.fixture(scope="module")
def gateway(namespace, plane):
    """Of files alone: the control plane only hears of load."""
    listeners = "".join(http_listener(name, port, f"[{{match: {{path: /late}}, route: {{cluster: {name}, timeout: 0.2s}}}}, "
                                      f"{{match: {{prefix: /}}, route: {{cluster: {name}}}}}]")
                        for name, port in LISTENERS.items())
    text = (bootstrap(listeners, CLUSTERS + f"  - {management_cluster('xds', plane.address)}\n") +
            f"node: {{id: test-id, cluster: test-cluster}}\ncluster_manager: {{load_stats_config: {api_source('GRPC')}}}\n")
    with gateway_with_two_workers(namespace, text) as made, origins(namespace):
        yield made


class Reports:
    """Of what was ordered from here on."""

    def __init__(self, plane, **order):
        self.plane = plane
        self.first = len(plane.load_reports())
        plane.tell("loads", seconds=0.2, **order)

    def clusters(self) -> dict[str, list[dict]]:
        found = collections.defaultdict(list)
        for report in self.plane.load_reports(self.first):
            for cluster in report.get("cluster_stats", []):
                found[cluster["cluster_name"]].append(cluster)
        return found

    def sums(self, cluster: str) -> dict[str, list[int]]:
        """By zone: how many requests were good, bad and issued."""
        totals = collections.defaultdict(lambda: [0, 0, 0])
        for stats in self.clusters()[cluster]:
            for locality in stats.get("upstream_locality_stats", []):
                for i, field in enumerate(("total_successful_requests", "total_error_requests", "total_issued_requests")):
                    totals[locality.get("locality", {}).get("zone", "")][i] += int(locality.get(field, 0))
        return dict(totals)

    def in_progress(self, cluster: str) -> list[int]:
        """In each report that tells of any."""
        return [int(locality.get("total_requests_in_progress", 0)) for stats in self.clusters()[cluster]
                for locality in stats.get("upstream_locality_stats", [])]

    def wait_for(self, cluster: str, wanted: dict[str, list[int]]) -> None:
        try:
            wait_until(lambda: self.sums(cluster) == wanted, 5, "the load")
        except Exception:
            assert self.sums(cluster) == wanted
            raise


def test_a_gateway_introduces_itself(gateway, plane):
    (first, *_) = plane.load_reports()
    assert first["node"]["id"] == "test-id"
    assert "envoy.lrs.supports_send_all_clusters" in first["node"]["client_features"]
    assert "cluster_stats" not in first


def test_good_and_bad_requests_are_told(gateway, plane, curl):
    reports = Reports(plane, clusters=["plain"])
    curl(*[f"http://{GATEWAY}:81/ok"] * 5)
    curl(*[f"http://{GATEWAY}:81/bad"] * 2)
    reports.wait_for("plain", {"": [5, 2, 7]})
    assert set(reports.clusters()) == {"plain"}


def test_a_request_that_takes_too_long_is_a_bad_one(gateway, plane, curl):
    reports = Reports(plane, clusters=["plain"])
    assert " 504 " in curl("-i", f"http://{GATEWAY}:81/late")
    reports.wait_for("plain", {"": [0, 1, 1]})


def test_each_locality_is_told(gateway, plane, curl):
    reports = Reports(plane, clusters=["zones"])
    curl(*[f"http://{GATEWAY}/ok"] * 8)
    wait_until(lambda: sum(issued for _, _, issued in reports.sums("zones").values()) == 8, 5, "the load")
    assert set(reports.sums("zones")) == {"near", "far"}
    (locality,) = {tuple(sorted(locality["locality"].items())) for stats in reports.clusters()["zones"]
                   for locality in stats.get("upstream_locality_stats", []) if locality["locality"]["zone"] == "far"}
    assert dict(locality) == {"region": "r", "zone": "far", "sub_zone": "rack"}


def test_requests_in_progress_are_told(namespace, gateway, plane):
    reports = Reports(plane, clusters=["plain"])
    client = namespace.start(["curl", "-sS", "-o", "/dev/null", f"http://{GATEWAY}:81/slow"])
    wait_until(lambda: 1 in reports.in_progress("plain"), 5, "the request that is in progress")
    assert client.wait(10) == 0
    reports.wait_for("plain", {"": [1, 0, 1]})


def test_all_clusters_are_told_where_that_is_asked_for(gateway, plane):
    reports = Reports(plane, all=True)
    wait_until(reports.clusters, 5, "a report")
    assert set(reports.clusters()) == {"zones", "plain", "dropped"}, "the control plane's own is none of them"


def test_endpoints_are_told_where_that_is_asked_for(gateway, plane, curl):
    reports = Reports(plane, clusters=["plain"], by_endpoint=True)
    curl(f"http://{GATEWAY}:81/ok")
    reports.wait_for("plain", {"": [1, 0, 1]})
    (endpoint,) = [endpoint for stats in reports.clusters()["plain"] for locality in stats.get("upstream_locality_stats", [])
                   for endpoint in locality.get("upstream_endpoint_stats", [])]
    assert endpoint["address"]["socket_address"] == {"address": HOST, "port_value": ORIGIN_PORT}
    assert int(endpoint["total_successful_requests"]) == 1


def test_drops_are_told_with_their_category(gateway, plane, curl):
    reports = Reports(plane, clusters=["dropped"])
    curl(*[f"http://{GATEWAY}:82/ok"] * 3)

    def drops():
        return sum(int(stats.get("total_dropped_requests", 0)) for stats in reports.clusters()["dropped"])
    wait_until(lambda: drops() == 3, 5, "the drops")
    reasons = [(entry["category"], int(entry["dropped_count"])) for stats in reports.clusters()["dropped"]
               for entry in stats.get("dropped_requests", [])]
    assert {category for category, _ in reasons} == {"throttle"} and sum(count for _, count in reasons) == 3


def test_the_interval_is_measured(gateway, plane):
    reports = Reports(plane, clusters=["plain"])
    wait_until(lambda: len(reports.clusters()["plain"]) >= 5, 5, "reports")
    lengths = [float(stats["load_report_interval"].rstrip("s")) for stats in reports.clusters()["plain"][1:5]]
    assert all(0.15 < length < 1 for length in lengths), lengths


def test_a_control_plane_that_comes_back_is_told_what_it_missed(gateway, plane, curl):
    reports = Reports(plane, clusters=["plain"])
    wait_until(reports.clusters, 5, "a report")
    errors = gateway.stats("^load_reporter")["load_reporter.errors"]
    plane.kill()
    wait_until(lambda: gateway.stats("^load_reporter")["load_reporter.errors"] > errors, 5, "the loss")
    curl(*[f"http://{GATEWAY}:81/ok"] * 4)
    plane.start()
    wait_until(plane.load_reports, 10, "the introduction")
    Reports(plane, clusters=["plain"]).wait_for("plain", {"": [4, 0, 4]})
    stats = gateway.stats("^load_reporter")
    assert stats["load_reporter.retries"] >= 1 and stats["load_reporter.requests"] >= 1 and stats["load_reporter.responses"] >= 2


def test_endpoints_that_leave_are_told_to_their_end():
    with ControlPlane() as own, Namespace() as namespace:
        own.set("CDS", "1", eds_cluster("found") | {"eds_cluster_config": eds_cluster("x")["eds_cluster_config"] | {"service_name": "service"}})
        own.set("EDS", "1", assignment("service", *PORTS))
        own.set("LDS", "1", listener("edge", 80))
        own.set("RDS", "1", routes("routes", "found"))
        text = (ads_bootstrap("DELTA_GRPC", management_cluster("xds", own.address)) +
                f"cluster_manager: {{load_stats_config: {api_source('GRPC')}}}\n")
        with XdsGateway(namespace, text), origins(namespace):
            reports = Reports(own, all=True)
            wait_until(lambda: "found" in reports.clusters(), 5, "the first report")
            assert reports.clusters()["found"][0]["cluster_service_name"] == "service"
            url = f"http://{GATEWAY}/slow"
            clients = [namespace.start(["curl", "-sS", "-f", "-o", "/dev/null", url]) for _ in range(4)]
            wait_until(lambda: 4 in reports.in_progress("found"), 5, "the requests")
            own.set("EDS", "2", assignment("service"))
            own.wait_for_ack("EDS", "2")
            assert [client.wait(10) for client in clients] == [0] * 4
            reports.wait_for("found", {"": [4, 0, 4]})
