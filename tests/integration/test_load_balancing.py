"""Load balancing against real origins: weights, consistent hashing, priorities of which one is not healthy, subsets, aggregates,
original destinations, and what is dropped."""

import collections

import pytest

from conftest import bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, stop

PORTS = [8000, 8001, 8002, 8003]
BASE = f"http://{GATEWAY}"

# Answers with its port.
ORIGIN = r"""
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = sys.argv[2].encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


def endpoint(port, more=""):
    return f"{{endpoint: {{address: {{socket_address: {{address: {HOST}, port_value: {port}}}}}}}{more}}}"


def cluster(name, groups, more=""):
    return f"""
  - name: {name}
    type: STATIC
    load_assignment: {{cluster_name: {name}, endpoints: [{", ".join(groups)}]}}
    {more}"""


def group(endpoints, more=""):
    return f"{{lb_endpoints: [{', '.join(endpoints)}]{more}}}"


ALL = group([endpoint(port) for port in PORTS])


@pytest.fixture(scope="module")
def gateway(namespace):
    routes = {
        "weighted": "", "header": ", hash_policy: [{header: {header_name: x-user}}]",
        "cookie": ", hash_policy: [{cookie: {name: place, ttl: 60s, path: /}}]", "failover": "", "panic": "",
        "subsets": ", metadata_match: {filter_metadata: {envoy.lb: {version: '2'}}}",
        "aggregate": "", "passed": "", "dropped": "",
    }
    listeners = "".join(http_listener(name, 80 + i, f"[{{match: {{prefix: /}}, route: {{cluster: {name}{more}}}}}]")
                        for i, (name, more) in enumerate(routes.items()))
    sick = ", health_status: UNHEALTHY"
    clusters = (cluster("weighted", [group([endpoint(PORTS[0], ", load_balancing_weight: 3"), endpoint(PORTS[1])])]) +
                cluster("header", [ALL], "lb_policy: RING_HASH") + cluster("cookie", [ALL], "lb_policy: MAGLEV") +
                cluster("failover", [group([endpoint(PORTS[0], sick), endpoint(PORTS[1], sick)]),
                                     group([endpoint(PORTS[2])], ", priority: 1")]) +
                cluster("panic", [group([endpoint(PORTS[0]), endpoint(PORTS[1], sick), endpoint(PORTS[2], sick)])]))
    version = ", metadata: {{filter_metadata: {{envoy.lb: {{version: '{}'}}}}}}"
    clusters += cluster("subsets", [group([endpoint(port, version.format(1 + i % 2)) for i, port in enumerate(PORTS)])],
                        "lb_subset_config: {subset_selectors: [{keys: [version]}]}")
    clusters += cluster("sick", [group([endpoint(PORTS[0], sick)])]) + cluster("spare", [group([endpoint(PORTS[3])])])
    clusters += '''
  - name: aggregate
    lb_policy: CLUSTER_PROVIDED
    cluster_type:
      name: envoy.clusters.aggregate
      typed_config: {"@type": type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig, clusters: [sick, spare]}
  - name: passed
    type: ORIGINAL_DST
    lb_policy: CLUSTER_PROVIDED
    original_dst_lb_config: {use_http_header: true}
  - name: dropped
    type: STATIC
    load_assignment:
      cluster_name: dropped
      policy: {drop_overloads: [{category: lb, drop_percentage: {numerator: 100}}]}'''
    with Gateway(namespace, bootstrap(listeners, clusters)) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def origins(namespace, gateway):
    servers = [namespace.start(["/usr/bin/python3", "-c", ORIGIN, HOST, str(port)]) for port in PORTS]
    for port in PORTS:
        namespace.wait_for_port(HOST, port)
    yield servers
    for server in servers:
        stop(server)


def test_weights_are_kept(curl):
    met = collections.Counter(curl(*[f"{BASE}/{i}" for i in range(40)], "-w", "\n").split())
    assert 28 <= met[str(PORTS[0])] <= 32 and 8 <= met[str(PORTS[1])] <= 12, met


def test_a_header_keeps_its_endpoint(curl):
    met = {user: {curl("-H", f"x-user: {user}", f"{BASE}:81/") for _ in range(3)} for user in range(12)}
    assert all(len(ports) == 1 for ports in met.values()), met
    assert len(set.union(*met.values())) > 1, "and not all of them the same"


def test_a_client_without_a_cookie_gets_one_and_stays(curl, tmp_path):
    jar = str(tmp_path / "jar")
    head = curl("-D", "-", "-c", jar, f"{BASE}:82/")
    assert "set-cookie: place=\"" in head.lower() and "; Max-Age=60; Path=/; HttpOnly" in head
    first = head.split()[-1]
    again = [curl("-D", "-", "-b", jar, f"{BASE}:82/") for _ in range(5)]
    assert [answer.split()[-1] for answer in again] == [first] * 5
    assert not any("set-cookie" in answer.lower() for answer in again)


def test_a_priority_without_a_healthy_endpoint_gives_way_to_the_next(gateway, curl):
    assert {curl(f"{BASE}:83/") for _ in range(6)} == {str(PORTS[2])}
    stats = gateway.stats("^cluster.failover.membership")
    assert stats["cluster.failover.membership_total"] == 3
    assert stats["cluster.failover.membership_healthy"] == 1
    assert stats["cluster.failover.membership_change"] == 1


def test_with_too_few_healthy_endpoints_all_are_used(gateway, curl):
    assert {curl(f"{BASE}:84/") for _ in range(9)} == {str(port) for port in PORTS[:3]}
    assert gateway.stats("^cluster.panic.lb")["cluster.panic.lb_healthy_panic"] == 9


def test_a_route_chooses_a_subset(gateway, curl):
    assert {curl(f"{BASE}:85/") for _ in range(6)} == {str(PORTS[1]), str(PORTS[3])}
    stats = gateway.stats("^cluster.subsets.lb_subsets")
    assert stats["cluster.subsets.lb_subsets_selected"] == 6
    assert stats["cluster.subsets.lb_subsets_active"] == 2


def test_an_aggregate_passes_on_to_the_next_member(gateway, curl):
    assert {curl(f"{BASE}:86/") for _ in range(4)} == {str(PORTS[3])}
    assert gateway.stats("^cluster.spare.upstream_rq_total")["cluster.spare.upstream_rq_total"] == 4
    assert gateway.stats("^cluster.aggregate.upstream_rq_total")["cluster.aggregate.upstream_rq_total"] == 0
    assert "aggregate::default_priority::max_retries::3" in gateway.admin("/clusters")


def test_a_request_goes_where_its_field_says(gateway, curl):
    for port in PORTS:
        assert curl("-H", f"x-envoy-original-dst-host: {HOST}:{port}", f"{BASE}:87/") == str(port)
    assert curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "x-envoy-original-dst-host: nowhere", f"{BASE}:87/") == "503"
    assert gateway.stats("^cluster.passed.original")["cluster.passed.original_dst_host_invalid"] == 1


def test_what_the_control_plane_wants_dropped_is(gateway, curl):
    answer = curl("-i", f"{BASE}:88/")
    assert " 503 " in answer and "x-envoy-drop-overload: true" in answer and answer.endswith("drop overload")
    assert gateway.stats("^cluster.dropped.upstream_rq_drop")["cluster.dropped.upstream_rq_drop_overload"] == 1
