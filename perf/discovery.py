"""What a large configuration from a control plane costs: 10,000 clusters with 100,000 endpoints and 10,000 virtual hosts by ADS (delta).

The control plane is tests/control_plane on the host's loopback; the gateway is on a TAP, where wrk asks for one of the virtual hosts
while changes are pushed. The agent's time is what all threads but the worker spend: gRPC's read for `mr-xds`."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time

import records
from lab import GATEWAY, Gateway, LabError, Namespace
from machine import pin, process_seconds, subject_and_load_cpu, thread_seconds
from sampler import RESIDENT

INTEGRATION = pathlib.Path(__file__).resolve().parent.parent / "tests" / "integration"
NAME = "xds"
CLUSTERS, ENDPOINTS_EACH, HOSTS = 10_000, 10, 10_000
FEW = 10             # of each, for what the gateway costs without them
CHANGES = 200        # of one endpoint each
QUIET_SECONDS = 5    # the same load without changes
LOAD_SECONDS = 300   # at most
WORKERS = "mr-worker"
TURNS = "millrace.worker.0.busy_turn_us."
LONGER_US = 2**21    # what "more" is counted as: longer than the last bound, 2^20


def address(ip: str, port: int) -> dict:
    return {"socket_address": {"address": ip, "port_value": port}}


def cluster(number: int, connect_timeout: str = "5s") -> dict:
    return {"name": f"cluster-{number}", "type": "EDS", "connect_timeout": connect_timeout, "eds_cluster_config": {"eds_config": ADS}}


def assignment(number: int, weight: int = 1) -> dict:
    """Endpoints that nobody connects to; `weight` is what a change changes of one."""
    endpoints = [{"endpoint": {"address": address(f"10.{number >> 8}.{number & 255}.{last}", 8000)}, "load_balancing_weight": 1}
                 for last in range(1, ENDPOINTS_EACH + 1)]
    endpoints[0]["load_balancing_weight"] = weight
    return {"cluster_name": f"cluster-{number}", "endpoints": [{"lb_endpoints": endpoints}]}


def route_table(hosts: int, prefix: str = "/") -> dict:
    """The first host is answered by the gateway itself, the others lead to clusters, below `prefix`."""
    answered = {"name": "asked", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}
    return {"name": "routes", "virtual_hosts": [answered] + [
        {"name": f"host-{number}", "domains": [f"host-{number}.example"],
         "routes": [{"match": {"prefix": prefix}, "route": {"cluster": f"cluster-{number}"}}]} for number in range(hosts)]}


API = "type.googleapis.com/envoy"
ADS = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
LISTENER = {"name": "edge", "address": address(GATEWAY, 80), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": {
    "@type": f"{API}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "edge",
    "rds": {"route_config_name": "routes", "config_source": ADS},
    "http_filters": [{"name": "router", "typed_config": {"@type": f"{API}.extensions.filters.http.router.v3.Router"}}]}}]}]}


def bootstrap(plane) -> str:
    http2 = {"@type": f"{API}.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}
    management = {"name": "xds", "type": "STATIC",
                  "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
                  "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [
                      {"endpoint": {"address": address("127.0.0.1", plane.port)}}]}]}}
    ads = {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]}
    parts = {"node": {"id": "bench", "cluster": "bench"}, "static_resources": {"clusters": [management]},
             "dynamic_resources": {"ads_config": ads, "cds_config": ADS, "lds_config": ADS}}
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in parts.items())


def agent_seconds(gateway) -> float:
    return process_seconds(gateway.process.pid) - thread_seconds(gateway.process.pid, WORKERS)


def give(plane, count: int, hosts: int) -> None:
    plane.set("CDS", "1", *(cluster(number) for number in range(count)))
    plane.set("EDS", "1", *(assignment(number) for number in range(count)))
    plane.set("LDS", "1", LISTENER)
    plane.set("RDS", "1", route_table(hosts))


def wait_for_first_snapshot(plane) -> None:
    for kind in ("CDS", "EDS", "LDS", "RDS"):
        plane.wait_for_ack(kind, "1", LOAD_SECONDS)


def turns(stats: dict[str, int]) -> dict[int, int]:
    """Busy turns by the longest that their bucket holds, in microseconds."""
    bound = lambda name: LONGER_US if name == "more" else int(name)
    return {bound(name.removeprefix(TURNS)): value for name, value in stats.items() if name.startswith(TURNS)}


def longest_turn(before: dict[int, int], after: dict[int, int]) -> int:
    """The bound of the longest bucket that has counted meanwhile."""
    return max((bound for bound, count in after.items() if count > before.get(bound, 0)), default=0)


@contextlib.contextmanager
def loaded(control_plane, count: int, hosts: int, load_cpu: int):
    """Control plane, namespace and a gateway that has taken all of it, with what that cost."""
    with control_plane() as plane, Namespace() as namespace:
        pin(plane.process.pid, load_cpu)
        give(plane, count, hosts)
        began = time.monotonic()
        with Gateway(namespace, bootstrap(plane)) as gateway:
            wait_for_first_snapshot(plane)
            yield plane, namespace, gateway, {"seconds": time.monotonic() - began, "cpu": agent_seconds(gateway),
                                              "resident": gateway.stats("^server")[RESIDENT]}


def change_endpoints(plane, gateway, figures: dict) -> None:
    """One endpoint each time, of another cluster."""
    before = agent_seconds(gateway)
    for change in range(CHANGES):
        number = change * (CLUSTERS // CHANGES)
        plane.update("EDS", f"change-{change}", assignment(number, weight=2))
        plane.wait_for_ack("EDS", f"change-{change}")
    figures["agent_cpu_ms_per_change"] = round((agent_seconds(gateway) - before) / CHANGES * 1000, 3)


def change_all(plane, *_) -> None:
    """Every cluster, then every virtual host, each in one push."""
    plane.set("CDS", "2", *(cluster(number, "4s") for number in range(CLUSTERS)))
    plane.wait_for_ack("CDS", "2", LOAD_SECONDS)
    plane.set("RDS", "2", route_table(HOSTS, "/service/"))
    plane.wait_for_ack("RDS", "2", LOAD_SECONDS)
    time.sleep(QUIET_SECONDS)  # clusters that wait for endpoints, and what workers have still to adopt


def heap_bytes_per_cluster(build: pathlib.Path) -> int:
    """Of an agent alone, with all that it keeps of a cluster and its ten endpoints."""
    loaded = subprocess.run([build / "perf" / "millrace_world_load", str(CLUSTERS)], capture_output=True, text=True, check=False)
    if loaded.returncode != 0:
        raise LabError(f"millrace_world_load: {loaded.stderr.strip()}")
    return round(json.loads(loaded.stdout)["heap_bytes_per_cluster"])


def measure(control_plane, results: records.Results) -> None:
    subject_cpu, load_cpu = subject_and_load_cpu()
    with loaded(control_plane, FEW, FEW, load_cpu) as (*_, few):
        pass
    with loaded(control_plane, CLUSTERS, HOSTS, load_cpu) as (plane, namespace, gateway, full):
        figures = {"clusters": CLUSTERS, "endpoints": CLUSTERS * ENDPOINTS_EACH, "virtual_hosts": HOSTS,
                   "load_seconds": round(full["seconds"] - few["seconds"], 2), "agent_cpu_seconds": round(full["cpu"] - few["cpu"], 2),
                   "resident_bytes": full["resident"],
                   "resident_bytes_per_cluster": round((full["resident"] - few["resident"]) / (CLUSTERS - FEW)),
                   "heap_bytes_per_cluster": heap_bytes_per_cluster(pathlib.Path(os.environ["MILLRACE_BUILD_DIR"]))}
        pin(gateway.process.pid, subject_cpu)
        wrk = ["taskset", "-c", str(load_cpu), "wrk", "-t1", "-c16", "-d600s", f"http://{GATEWAY}/"]
        load = namespace.start(wrk, stdout=subprocess.DEVNULL)
        time.sleep(1)
        phases = {"_quiet": lambda *_: time.sleep(QUIET_SECONDS), "": change_endpoints, "_all": change_all}
        for suffix, phase in phases.items():
            before = turns(gateway.stats("busy_turn_us"))
            phase(plane, gateway, figures)
            figures[f"longest_turn_us{suffix}"] = longest_turn(before, turns(gateway.stats("busy_turn_us")))
        if load.poll() is not None:
            raise LabError(f"the load ended with {load.returncode}")
    results.add(NAME, "tap", "millrace", figures)
    print(f"{NAME:<20} {CLUSTERS:,} clusters: {figures['load_seconds']:,} s until all was taken, {figures['agent_cpu_seconds']:,} s of the agent's "
          f"core; {figures['agent_cpu_ms_per_change']:,} ms of it for one endpoint; {figures['resident_bytes_per_cluster']:,} bytes a cluster, "
          f"{figures['heap_bytes_per_cluster']:,} of an agent's heap alone; "
          f"longest turn {figures['longest_turn_us']:,} us, {figures['longest_turn_us_all']:,} us when all clusters "
          f"and virtual hosts change at once, {figures['longest_turn_us_quiet']:,} us without changes", flush=True)


def run(program: pathlib.Path, results: records.Results) -> None:
    if not program.exists():
        return results.leave_out(NAME, f"{program} is not built: cmake --build --preset dev --target control_plane")
    os.environ.setdefault("MILLRACE_BUILD_DIR", str(program.parents[2]))
    sys.path.insert(0, str(INTEGRATION))
    from control_plane import ControlPlane  # noqa: PLC0415  only this case needs it
    with results.case(NAME):
        try:
            measure(ControlPlane, results)
        except AssertionError as error:
            raise LabError(str(error)) from error
