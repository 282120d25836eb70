"""Load balancing against real origins: weights, consistent hashing, fewest requests, slow start, priorities of which one is not healthy,
localities, subsets, aggregates, original destinations, and what is dropped."""

import collections
import json
import subprocess
import time

import pytest

from conftest import bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, static_cluster, stop, wait_until

PORTS = [8000, 8001, 8002, 8003]
LATE_PORT = 8004
FAST_PORTS = [8010, 8011]
POLICIES_PORT, DRAWS_PORT = 180, 181
SLOW_START_S = 4
BASE = f"http://{GATEWAY}"
POLICIES = f"{BASE}:{POLICIES_PORT}"

# Answers with its port; to /held after two seconds.
ORIGIN = r"""
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", -1
    def do_GET(self):
        if self.path.endswith("/held"): time.sleep(2)
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
VERSION = ", metadata: {{filter_metadata: {{envoy.lb: {{version: '{}'}}}}}}"
VERSIONED = group([endpoint(port, VERSION.format(1 + i % 2)) for i, port in enumerate(PORTS)])


def policy(kind: str, fields: str = "") -> str:
    return f"load_balancing_policy: {{policies: [{policy_entry(kind, fields)}]}}"


def policy_entry(kind: str, fields: str = "") -> str:
    package = "".join("_" + letter.lower() if letter.isupper() else letter for letter in kind).removeprefix("_")
    url = f"type.googleapis.com/envoy.extensions.load_balancing_policies.{package}.v3.{kind}"
    return f"{{typed_extension_config: {{name: p, typed_config: {{\"@type\": {url}{fields and ', ' + fields}}}}}}}"


LOCALITIES = [group([endpoint(port) for port in ports], f", locality: {{zone: {zone}}}, load_balancing_weight: {weight}")
              for zone, ports, weight in [("near", PORTS[:1], 1), ("far", PORTS[1:], 3)]]
USER = "hash_policy: [{header: {header_name: x-user}}]"
VERSION_2 = "metadata_match: {filter_metadata: {envoy.lb: {version: '2'}}}"
VERSION_9 = "metadata_match: {filter_metadata: {envoy.lb: {version: '9'}}}"
UNKNOWN = '{"@type": type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/nobody.Knows}'
BY_TURNS = f"{{policies: [{policy_entry('RoundRobin')}]}}"
LOCALITY_WEIGHTS = "locality_lb_config: {locality_weighted_lb_config: {}}"

# Path -> groups of the cluster of its name, the cluster's fields, the route's. All are served by one listener.
CLUSTERS = {
    "least": ([group([endpoint(port) for port in PORTS[:2]])], "lb_policy: LEAST_REQUEST\n    least_request_lb_config: {choice_count: 20}", ""),
    "scan": ([ALL], policy("LeastRequest", "enable_full_scan: true"), ""),
    "random": ([ALL], "lb_policy: RANDOM", ""),
    "any-random": ([ALL], policy("Random"), ""),
    "turns": ([ALL], policy("RoundRobin"), ""),
    "ring": ([ALL], policy("RingHash"), USER),
    "maglev": ([ALL], policy("Maglev"), USER),
    "unknown-first": ([ALL], f"load_balancing_policy: {{policies: [{{typed_extension_config: {{name: p, typed_config: {UNKNOWN}}}}}, "
                             f"{policy_entry('RingHash')}]}}", USER),
    "localities": (LOCALITIES, "common_lb_config: {locality_weighted_lb_config: {}}", ""),
    "their-localities": (LOCALITIES, policy("RoundRobin", LOCALITY_WEIGHTS), ""),
    "wrr-localities": (LOCALITIES, policy("WrrLocality", f"endpoint_picking_policy: {BY_TURNS}"), ""),
    "subset": ([VERSIONED], policy("Subset", f"subset_selectors: [{{keys: [version]}}], subset_lb_policy: {BY_TURNS}"), VERSION_2),
    "nobody": ([VERSIONED], "lb_subset_config: {subset_selectors: [{keys: [version]}]}", VERSION_9),
    "anybody": ([VERSIONED], "lb_subset_config: {fallback_policy: ANY_ENDPOINT, subset_selectors: [{keys: [version]}]}", VERSION_9),
    "default": ([VERSIONED], "lb_subset_config: {fallback_policy: DEFAULT_SUBSET, default_subset: {version: '1'}, "
                             "subset_selectors: [{keys: [version]}]}", VERSION_9),
    "own": ([VERSIONED], "lb_subset_config: {fallback_policy: ANY_ENDPOINT, "
                         "subset_selectors: [{keys: [version], fallback_policy: NO_FALLBACK}]}", VERSION_9),
    "fewer-keys": ([VERSIONED], "lb_subset_config: {subset_selectors: [{keys: [version]}, {keys: [stage, version], fallback_policy: KEYS_SUBSET, "
                                "fallback_keys_subset: [version]}]}", VERSION_2.replace("'2'", "'2', stage: test")),
    "late": ([group([endpoint(PORTS[0]), endpoint(LATE_PORT)])],
             f"round_robin_lb_config: {{slow_start_config: {{slow_start_window: {SLOW_START_S}s}}}}\n    health_checks: [{{timeout: 0.5s, "
             "interval: 0.2s, no_traffic_interval: 0.2s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}]", ""),
}


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
    clusters += cluster("subsets", [VERSIONED], "lb_subset_config: {subset_selectors: [{keys: [version]}]}")
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
    paths = ", ".join(f"{{match: {{prefix: /{name}/}}, route: {{cluster: {name}, {route}}}}}" for name, (_, _, route) in CLUSTERS.items())
    listeners += http_listener("policies", POLICIES_PORT, f"[{paths}]")
    clusters += "".join(cluster(name, groups, fields) for name, (groups, fields, _) in CLUSTERS.items())
    listeners += http_listener("draws", DRAWS_PORT, "[{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: even, weight: 70}, "
                                                    "{name: by-turns, weight: 20}, {name: by-chance, weight: 10}]}}}]")
    fast = [group([endpoint(FAST_PORTS[0], ", load_balancing_weight: 3"), endpoint(FAST_PORTS[1], ", load_balancing_weight: 2")])]
    clusters += cluster("by-turns", fast) + cluster("by-chance", fast, "lb_policy: RANDOM")
    clusters += "\n" + static_cluster("even", [(HOST, port) for port in FAST_PORTS])
    with Gateway(namespace, bootstrap(listeners, clusters)) as made:
        made.started = time.monotonic()
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


def ports_met(curl, name: str, times: int, *arguments: str) -> list[int]:
    """The ports that answer requests for a path of CLUSTERS, one after the other."""
    return [int(port) for port in curl(*arguments, f"{POLICIES}/{name}/[1-{times}]", "-w", "\\n").split()]


@pytest.mark.parametrize("name", ["least", "scan"])
def test_who_is_busy_is_not_asked(gateway, namespace, curl, name):
    active = f"cluster.{name}.upstream_rq_active"
    held = namespace.start(["curl", "-sS", "--max-time", "10", f"{POLICIES}/{name}/held"], stdout=subprocess.PIPE, text=True)
    wait_until(lambda: gateway.stats(f"^{active}")[active] == 1, 5, "a request that is held")
    met = collections.Counter(ports_met(curl, name, 40))
    busy = int(held.communicate(timeout=10)[0])
    assert met.pop(busy, 0) <= (1 if name == "least" else 0), "of twenty draws one is not the busy one, but for one time in a million"
    assert len(met) == (3 if name == "scan" else 1), "all others"


@pytest.mark.parametrize("name", ["random", "any-random"])
def test_chance_favours_nobody(curl, name):
    met = ports_met(curl, name, 600)
    counts = collections.Counter(met)
    assert len(counts) == 4 and all(95 < count < 205 for count in counts.values()), f"150 each, within five deviations: {counts}"
    assert any(one == other for one, other in zip(met, met[1:])), "turns are no chance"


def test_policies_are_extensions_too(curl):
    turns = ports_met(curl, "turns", 12)
    assert sorted(turns[:4]) == PORTS and turns == turns[:4] * 3
    assert set(ports_met(curl, "subset", 6)) == {PORTS[1], PORTS[3]}
    for name in ("ring", "maglev", "unknown-first"):
        kept = [set(ports_met(curl, name, 3, "-H", f"x-user: {user}")) for user in range(12)]
        assert all(len(ports) == 1 for ports in kept) and len(set.union(*kept)) > 1, name


@pytest.mark.parametrize("name", ["localities", "their-localities", "wrr-localities"])
def test_localities_have_weights(curl, name):
    met = collections.Counter(ports_met(curl, name, 120))
    assert 28 <= met[PORTS[0]] <= 32, met
    assert all(28 <= met[port] <= 32 for port in PORTS[1:]), met


def test_what_becomes_of_requests_without_a_subset(gateway, curl):
    def code(name: str) -> str:
        return curl("-o", "/dev/null", "-w", "%{http_code}", f"{POLICIES}/{name}/")

    assert code("nobody") == code("own") == "503"
    assert set(ports_met(curl, "anybody", 8)) == set(PORTS)
    assert set(ports_met(curl, "default", 8)) == {PORTS[0], PORTS[2]}
    assert set(ports_met(curl, "fewer-keys", 8)) == {PORTS[1], PORTS[3]}
    stats = gateway.stats("lb_subsets_fallback$")
    assert [stats[f"cluster.{name}.lb_subsets_fallback"] for name in ("anybody", "default")] == [8, 8]


def test_who_comes_late_begins_slowly(gateway, namespace, curl):
    time.sleep(max(0, gateway.started + SLOW_START_S + 1 - time.monotonic()))  # the other one has come long ago
    server = namespace.start(["/usr/bin/python3", "-c", ORIGIN, HOST, str(LATE_PORT)])
    healthy = "cluster.late.membership_healthy"
    wait_until(lambda: gateway.stats(f"^{healthy}")[healthy] == 2, 5, "its first health check")
    assert ports_met(curl, "late", 60).count(LATE_PORT) <= 20, "a tenth as many as the other, and slowly more"
    wait_until(lambda: 28 <= ports_met(curl, "late", 60).count(LATE_PORT) <= 32, SLOW_START_S + 5, "its half of the requests")
    stop(server)


NGINX_CONFIG = """
daemon off;
worker_processes 1;
error_log {directory}/error.log;
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  server {{ {listen} location / {{ return 200; }} }}
}}
"""


def test_weights_are_kept_within_a_percent(gateway, namespace, tmp_path):
    """Of a hundred thousand requests or so: clusters by chance; endpoints by turns, and by chance, which asks for no weights."""
    tmp_path.chmod(0o755)
    (tmp_path / "nginx.conf").write_text(NGINX_CONFIG.format(directory=tmp_path, listen=" ".join(f"listen {HOST}:{port};" for port in FAST_PORTS)))
    server = namespace.start(["nginx", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)])
    for port in FAST_PORTS:
        namespace.wait_for_port(HOST, port)
    namespace.output(["wrk", "-t1", "-c20", "-d4s", f"{BASE}:{DRAWS_PORT}/"])
    stop(server)
    clusters = json.loads(gateway.admin("/clusters?format=json"))["cluster_statuses"]
    counts = {one["name"]: [next(int(stat["value"]) for stat in host["stats"] if stat["name"] == "rq_total") for host in one["host_statuses"]]
              for one in clusters if one["name"] in ("even", "by-turns", "by-chance")}

    def assert_shares(counted: list[int], expected: list[float]):
        total = sum(counted)
        for count, share in zip(counted, expected):
            deviation = (share * (1 - share) / total) ** 0.5
            assert abs(count / total - share) < max(0.01, 5 * deviation), (counted, expected)

    assert_shares([sum(counts[name]) for name in ("even", "by-turns", "by-chance")], [0.7, 0.2, 0.1])
    assert_shares(counts["by-chance"], [0.5, 0.5])
    for name, share in [("even", 0.5), ("by-turns", 0.6)]:
        assert abs(counts[name][0] / sum(counts[name]) - share) < 0.01, counts
