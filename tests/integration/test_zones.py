"""Routing by zones against real origins, while the local cluster comes from a file and changes."""

import collections
import json
import pathlib

import pytest

from conftest import http_listener
from lab import GATEWAY, HOST, Gateway, stop, wait_until
from test_load_balancing import ORIGIN, cluster, endpoint

# Three in the zone of the gateway, three in another.
NEAR = [8000, 8001, 8002]
FAR = [8003, 8004, 8005]


class LocalCluster:
    """The file with the endpoints of the gateways: as many here, as many elsewhere."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    def place(self, here: int, elsewhere: int) -> None:
        def gateways(zone: str, count: int, first: int) -> dict:
            return {"locality": {"zone": zone}, "lb_endpoints": [
                {"endpoint": {"address": {"socket_address": {"address": HOST, "port_value": first + i}}}} for i in range(count)]}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"resources": [{
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "cluster_name": "gateways",
            "endpoints": [gateways("here", here, 9000), gateways("elsewhere", elsewhere, 9100)]}]}))
        new.rename(self.path)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    made = LocalCluster(tmp_path_factory.mktemp("zones") / "gateways.json")
    made.place(1, 1)
    return made


@pytest.fixture(scope="module")
def gateway(namespace, local):
    def zone(name, ports):
        return f"{{locality: {{zone: {name}}}, lb_endpoints: [{', '.join(endpoint(port) for port in ports)}]}}"
    gateways = f"""
  - name: gateways
    type: EDS
    eds_cluster_config: {{eds_config: {{path_config_source: {{path: {local.path}}}}}}}"""
    text = ("node: {id: gateway, cluster: gateways, locality: {zone: here}}\n"
            "cluster_manager: {local_cluster_name: gateways}\n"
            "static_resources:\n  listeners:\n" +
            http_listener("edge", 80, "[{match: {prefix: /}, route: {cluster: zoned}}]") + "  clusters:" +
            cluster("zoned", [zone("elsewhere", FAR), zone("here", NEAR)]) + gateways)
    with Gateway(namespace, text) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def origins(namespace, gateway):
    servers = [namespace.start(["/usr/bin/python3", "-c", ORIGIN, HOST, str(port)]) for port in NEAR + FAR]
    for port in NEAR + FAR:
        namespace.wait_for_port(HOST, port)
    yield servers
    for server in servers:
        stop(server)


def near(curl, requests: int = 400) -> float:
    """The part of the requests that stays in the gateway's zone."""
    met = collections.Counter(curl(*[f"http://{GATEWAY}/{i}" for i in range(requests)], "-w", "\n").split())
    return sum(met[str(port)] for port in NEAR) / requests


def count(gateway, name: str) -> int:
    return gateway.stats(rf"^cluster\.zoned\.{name}$")[f"cluster.zoned.{name}"]


def test_all_stay_while_gateways_and_endpoints_are_spread_alike(gateway, curl):
    assert near(curl) == 1
    assert count(gateway, "lb_zone_routing_all_directly") == 400
    assert count(gateway, "lb_zone_number_differs") == 0


def test_requests_leave_the_zone_as_gateways_come(gateway, curl, local):
    before = count(gateway, "lb_recalculate_zone_structures")
    local.place(4, 1)  # four fifths of the requests come from here, half of the endpoints are
    wait_until(lambda: gateway.admin("/clusters").count("::zone::here") == 7, 5, "the gateways")
    assert abs(near(curl) - 0.5 / 0.8) < 0.1
    assert count(gateway, "lb_recalculate_zone_structures") == before + 1
    assert count(gateway, "lb_zone_routing_sampled") > 0 and count(gateway, "lb_zone_routing_cross_zone") > 0
    local.place(1, 4)
    wait_until(lambda: gateway.admin("/clusters").count("::zone::here") == 4, 5, "their departure")
    assert near(curl) == 1


def test_without_a_gateway_here_zones_do_not_count(gateway, curl, local):
    local.place(0, 3)
    wait_until(lambda: gateway.admin("/clusters").count("::zone::here") == 3, 5, "their departure")
    assert abs(near(curl) - 0.5) < 0.01
