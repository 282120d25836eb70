"""A gateway and its control plane: start-up, updates, warming, rejections, secrets."""

import json
import re
import time

import pytest

from certificates import Authority
from conftest import ORIGIN_PORT
from control_plane import ControlPlane
from lab import GATEWAY, HOST, Namespace, wait_until
from xds_lab import (ADS, API, PORTS, Load, XdsGateway, address, ads_bootstrap, answer, api_source, assignment, bootstrap_of, eds_cluster,
                     first_snapshot, form, generation_of, lab, listener, management_cluster, routes, secret, serves, serving,
                     start_origin, static_cluster, tls)


# --- start-up

def test_a_gateway_starts_with_what_its_control_plane_says(lab, form):
    namespace, gateway, plane = lab
    for kind in ("CDS", "EDS", "LDS", "RDS"):
        plane.wait_for_ack(kind, "1")
    assert generation_of(namespace) == "1"
    (stream,) = plane.streams()
    assert stream["type"] == "ADS" and stream["form"] == ("delta" if "DELTA" in form else "sotw")
    for name in ("cluster_manager.cds", "listener_manager.lds", "http.edge.rds.routes", "cluster.found"):
        assert gateway.value(f"{name}.update_success") == 1, name


def test_the_gauge_of_the_connection_to_the_control_plane(lab):
    _, gateway, plane = lab
    wait_until(lambda: gateway.value("control_plane.connected_state") == 1, 5, "the connection")
    plane.kill()
    wait_until(lambda: gateway.value("control_plane.connected_state") == 0, 10, "the loss")


def test_the_gauges_of_what_is_warming(lab):
    _, gateway, plane = lab
    plane.tell("hold", types=["EDS", "RDS"])
    plane.update("CDS", "2", eds_cluster("late"))
    plane.update("LDS", "2", listener("later", 81, "later"))
    wait_until(lambda: gateway.value("cluster_manager.warming_clusters") == 1, 5, "the warming cluster")
    wait_until(lambda: gateway.value("listener_manager.total_listeners_warming") == 1, 5, "the warming listener")


def test_rejected_endpoints_are_not_waited_for(plane, form):
    first_snapshot(plane)
    plane.set("EDS", "1", BAD["EDS"][0])
    with Namespace() as namespace, XdsGateway(namespace, ads_bootstrap(form, management_cluster("xds", plane.address))).starting() as gateway:
        plane.wait_for_nack("EDS", "1")
        wait_until(gateway.is_live, 5, "the listeners, which do not wait for endpoints that were rejected")


def test_requests_are_those_of_the_protocol(lab, form):
    _, _, plane = lab
    for kind in ("CDS", "EDS", "LDS", "RDS"):
        plane.wait_for_ack(kind, "1")
    requests = [entry["request"] for entry in plane.requests()]
    assert requests[0]["node"]["id"] == "test-id" and requests[0]["node"]["user_agent_name"] == "envoy"
    order = [request["type_url"].rpartition(".")[2] for request in requests if "response_nonce" not in request]
    assert order == ["Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration"], "endpoints before the listeners"
    names = "resource_names_subscribe" if "DELTA" in form else "resource_names"
    assert plane.requests_for("ClusterLoadAssignment")[0][names] == ["found"]
    assert plane.requests_for("RouteConfiguration")[0][names] == ["routes"]
    assert not plane.requests_for("Cluster")[0].get(names)
    accepted = plane.requests_for("Cluster")[1]
    assert "error_detail" not in accepted
    if "DELTA" not in form:
        assert accepted["version_info"] == "1"
        assert plane.requests_for("RouteConfiguration")[1][names] == ["routes"]


def test_each_type_comes_from_its_own_source(plane, form, tmp_path):
    own = {"api_config_source": api_source(form), "resource_api_version": "V3"}
    plane.set("CDS", "1", eds_cluster("found", source=own))
    plane.set("EDS", "1", assignment("found", ORIGIN_PORT))
    plane.set("LDS", "1", listener("edge", 80, source=own))
    plane.set("RDS", "1", routes("routes", "found", "1"))
    text = bootstrap_of({"cds_config": own, "lds_config": own}, management_cluster("xds", plane.address))
    with serving(text, tmp_path) as (namespace, _):
        assert generation_of(namespace) == "1"
        assert sorted(stream["type"] for stream in plane.streams()) == ["CDS", "EDS", "LDS", "RDS"]
        plane.set("RDS", "2", routes("routes", "found", "2"))
        plane.wait_for_ack("RDS", "2")
        wait_until(lambda: generation_of(namespace) == "2", 5, "the new routes")


def test_routes_of_a_static_listener_may_be_all_that_a_control_plane_says(plane, form, tmp_path):
    own = {"api_config_source": api_source(form), "resource_api_version": "V3"}
    plane.set("RDS", "1", routes("routes", "found", "1"))
    text = bootstrap_of({}, management_cluster("xds", plane.address), static_cluster("found"), listeners=[listener("edge", 80, source=own)])
    with serving(text, tmp_path) as (namespace, _):
        assert generation_of(namespace) == "1"
        plane.set("RDS", "2", routes("routes", "found", "2"))
        wait_until(lambda: generation_of(namespace) == "2", 5, "the new routes")


def test_a_control_plane_on_a_unix_socket(form, tmp_path):
    with ControlPlane(f"unix:{tmp_path}/xds.sock") as plane:
        first_snapshot(plane)
        with serving(ads_bootstrap(form, management_cluster("xds", plane.address)), tmp_path) as (namespace, _):
            assert generation_of(namespace) == "1"


def test_a_control_plane_behind_mutual_tls(tls, tmp_path):
    plane, socket = tls
    with serving(ads_bootstrap("DELTA_GRPC", management_cluster("xds", plane.address, socket)), tmp_path) as (namespace, _):
        assert generation_of(namespace) == "1"


def test_what_is_late_is_waited_for_as_long_as_is_configured(plane, form, tmp_path):
    first_snapshot(plane)
    plane.tell("hold", types=["LDS"])
    with Namespace() as namespace:
        gateway = XdsGateway(namespace, ads_bootstrap(form, management_cluster("xds", plane.address), fetch_timeout="3s"))
        with gateway.starting():
            plane.wait_for_ack("EDS", "1")
            assert not gateway.is_live(), "its listeners have not come"
            wait_until(gateway.is_live, 10, "the end of initial_fetch_timeout")
            assert gateway.value("listener_manager.lds.init_fetch_timeout") == 1
            start_origin(namespace, tmp_path)
            plane.tell("release")
            wait_until(lambda: generation_of(namespace) == "1", 10, "the listener that came late")


def test_without_a_timeout_a_gateway_waits_for_its_control_plane(plane, form, tmp_path):
    first_snapshot(plane)
    plane.tell("new_streams", **{"as": "hang"})
    with Namespace() as namespace:
        gateway = XdsGateway(namespace, ads_bootstrap(form, management_cluster("xds", plane.address), fetch_timeout="0s"))
        with gateway.starting():
            wait_until(plane.streams, 10, "a stream")
            time.sleep(2)
            assert not gateway.is_live()
            plane.tell("new_streams", **{"as": "serve"})
            plane.tell("close")
            wait_until(gateway.is_live, 10, "the snapshot of the next stream")


# --- updates

def test_updates_of_every_type_fail_no_request(lab, form):
    namespace, gateway, plane = lab
    with Load(namespace, gateway) as load:
        for generation in range(2, 32):
            version = str(generation)
            plane.set("CDS", version, eds_cluster("found", f"{5 + generation % 3}s"), static_cluster("plain"),
                      *([static_cluster(f"extra-{generation}")] if generation % 4 else []))
            plane.wait_for_ack("CDS", version)
            plane.set("EDS", version, assignment("found", *PORTS[:1 + generation % 3]))
            plane.set("RDS", version, routes("routes", "plain" if generation % 2 else "found", version))
            plane.set("LDS", version, listener("edge", 80, server=f"generation-{generation}"),
                      *([listener("other", 81)] if generation % 3 == 0 else []))
            for kind in ("EDS", "RDS", "LDS"):
                plane.wait_for_ack(kind, version)
            wait_until(lambda: generation_of(namespace) == version, 10, f"routes of generation {version}")
    assert load.requests > 1000
    for kind in ("cluster_manager.cds", "listener_manager.lds"):
        assert gateway.value(f"{kind}.update_rejected") == 0


def test_what_is_removed_is_gone(lab, form):
    namespace, gateway, plane = lab
    plane.update("LDS", "2", listener("more", 81))
    plane.wait_for_ack("LDS", "2")
    wait_until(lambda: serves(namespace, 81), 10, "the second listener")
    plane.update("LDS", "3", remove=["more"])
    plane.update("CDS", "2", remove=["plain"])
    plane.wait_for_ack("LDS", "3")
    plane.wait_for_ack("CDS", "2")
    wait_until(lambda: "failed to connect" in answer(namespace, 81), 10, "the end of the second listener")
    wait_until(lambda: "plain::" not in gateway.admin("/clusters"), 20, "the end of the cluster")
    assert gateway.value("listener_manager.listener_removed") == 1
    wait_until(lambda: gateway.value("cluster_manager.cluster_removed") == 1, 5, "the count of the removal")
    assert generation_of(namespace) == "1"


def test_routes_and_endpoints_are_no_longer_asked_for_once_nobody_needs_them(lab, form):
    _, _, plane = lab
    plane.set("LDS", "2", listener("edge", 80, "others"))
    plane.set("RDS", "2", routes("others", "found"))
    if "DELTA" in form:
        wait_until(lambda: any(request.get("resource_names_unsubscribe") == ["routes"] for request in plane.requests_for("RouteConfiguration")),
                   10, "the end of the subscription")
    else:
        wait_until(lambda: plane.requests_for("RouteConfiguration")[-1].get("resource_names") == ["others"], 10, "the end of the subscription")


def test_an_unchanged_listener_under_a_new_version_drains_nobody(lab, form):
    namespace, gateway, plane = lab
    with Load(namespace, gateway):
        opened = gateway.value("http.edge.downstream_cx_total")
        for version in range(2, 12):
            plane.set("LDS", str(version), listener("edge", 80), touch=True)
            plane.wait_for_ack("LDS", str(version))
        assert gateway.value("http.edge.downstream_cx_total") == opened
    assert gateway.value("listener_manager.listener_modified") == 0


def test_filter_chains_that_come_and_change_drain_nobody_else(lab, form):
    namespace, gateway, plane = lab
    with Load(namespace, gateway):
        opened = gateway.value("http.edge.downstream_cx_total")
        for version in range(2, 12):
            changed = listener("edge", 80)
            other = listener("edge", 80, server=f"v{version}")["filter_chains"][0]
            strangers = {"source_prefix_ranges": [{"address_prefix": "203.0.113.0", "prefix_len": 24}]}
            changed["filter_chains"].insert(0, other | {"name": "other", "filter_chain_match": strangers})
            plane.set("LDS", str(version), changed)
            plane.wait_for_ack("LDS", str(version))
        assert gateway.value("http.edge.downstream_cx_total") == opened
    assert gateway.value("listener_manager.listener_modified") == 10


def test_a_lease_that_is_not_prolonged_ends(lab, form):
    namespace, gateway, plane = lab
    leased = {"resource": static_cluster("leased"), "ttl_seconds": 2}
    plane.update("CDS", "2", leased)
    plane.wait_for_ack("CDS", "2")
    for _ in range(6):
        time.sleep(0.5)
        plane.tell("heartbeat", type="CDS", names=["leased"])
    assert "leased::" in gateway.admin("/clusters"), "it was prolonged"
    wait_until(lambda: "leased::" not in gateway.admin("/clusters"), 12, "the end of the lease")
    assert "found::" in gateway.admin("/clusters")
    assert serves(namespace)


# --- warming

def test_a_cluster_serves_once_its_endpoints_are_there(lab, form):
    namespace, gateway, plane = lab
    plane.tell("hold", types=["EDS"])
    plane.update("CDS", "2", eds_cluster("late"))
    plane.wait_for_ack("CDS", "2")
    plane.set("RDS", "2", routes("routes", "late", "2"))
    plane.wait_for_ack("RDS", "2")
    wait_until(lambda: "503" in answer(namespace), 5, "routes to the cluster that is not there yet")
    plane.update("EDS", "2", assignment("late", ORIGIN_PORT))
    plane.tell("release")
    wait_until(lambda: serves(namespace), 10, "the endpoints")


def test_a_changed_cluster_stays_what_it_was_until_the_new_one_is_warm(lab, form):
    """Its endpoints get another name, of which nothing is known yet."""
    namespace, gateway, plane = lab
    changed = eds_cluster("found", "7s")
    changed["eds_cluster_config"]["service_name"] = "elsewhere"
    endpoints = lambda: set(re.findall(r"^found::([0-9.:]+?)::cx_active", gateway.admin("/clusters"), re.MULTILINE))
    before, after = {f"{HOST}:{ORIGIN_PORT}"}, {f"{HOST}:{port}" for port in PORTS[1:]}
    sent = lambda: gateway.value("cluster.found.upstream_rq_completed")
    with Load(namespace, gateway):
        plane.tell("hold", types=["EDS"])
        plane.update("CDS", "2", changed)
        plane.wait_for_ack("CDS", "2")
        wait_until(lambda: gateway.value("cluster_manager.warming_clusters") == 1, 5, "the warming cluster")
        named = "resource_names_subscribe" if "DELTA" in form else "resource_names"
        wait_until(lambda: "elsewhere" in plane.requests_for("ClusterLoadAssignment")[-1].get(named, []), 5, "a request for its endpoints")
        count = sent()
        time.sleep(1)
        assert endpoints() == before and sent() > count + 100, "it serves as it was"
        shown = json.loads(gateway.admin("/config_dump?mask=dynamic_warming_clusters"))["configs"]
        assert any("dynamic_warming_clusters" in part for part in shown), "the new one waits"
        plane.update("EDS", "2", assignment("elsewhere", *PORTS[1:]))
        plane.tell("release")
        plane.wait_for_ack("EDS", "2")
        wait_until(lambda: gateway.value("cluster_manager.warming_clusters") == 0, 5, "the end of warming")
        wait_until(lambda: endpoints() == after, 5, "the new endpoints")
        count = sent()
        time.sleep(0.5)
        assert sent() > count + 100, "the new one serves"
    assert gateway.value("cluster_manager.cluster_modified") == 1


# Nothing goes to endpoints that have not passed.
CHECKED = {"common_lb_config": {"healthy_panic_threshold": {"value": 0}}, "health_checks": [
    {"timeout": "1s", "interval": "1s", "no_traffic_interval": "1s", "unhealthy_threshold": 1, "healthy_threshold": 1, "tcp_health_check": {}}]}


def test_a_cluster_takes_over_when_its_endpoints_have_been_checked(lab, form):
    namespace, gateway, plane = lab
    wait_for_checks = lambda: wait_until(lambda: gateway.value("cluster_manager.warming_clusters") == 0, 10, "the first checks")
    with Load(namespace, gateway):
        plane.update("CDS", "2", eds_cluster("found") | CHECKED)
        plane.wait_for_ack("CDS", "2")
        wait_until(lambda: gateway.value("cluster.found.health_check.success") > 0, 10, "a check")
        wait_for_checks()
        plane.update("CDS", "3", static_cluster("found") | {"load_assignment": assignment("found", *PORTS[1:])} | CHECKED)
        plane.wait_for_ack("CDS", "3")
        wait_for_checks()
        wait_until(lambda: f"found::{HOST}:{PORTS[1]}::" in gateway.admin("/clusters"), 10, "the other endpoints")


def test_listeners_open_when_endpoints_have_been_checked(plane, form, tmp_path):
    first_snapshot(plane)
    nobody = {"endpoint": {"address": address("198.18.0.77", 80)}}
    some = assignment("found", ORIGIN_PORT)
    some["endpoints"][0]["lb_endpoints"].append(nobody)
    plane.set("CDS", "1", eds_cluster("found") | CHECKED)
    plane.set("EDS", "1", some)
    with serving(ads_bootstrap(form, management_cluster("xds", plane.address)), tmp_path) as (namespace, gateway):
        stats = gateway.stats("cluster.found.health_check")
        assert stats["cluster.found.health_check.attempt"] >= 2, "the origin refuses the first: it comes later"
        assert stats["cluster.found.health_check.failure"] >= 1
        wait_until(lambda: serves(namespace), 10, "the origin's next check")


def test_a_listener_listens_once_its_routes_are_there(lab, form):
    namespace, gateway, plane = lab
    plane.tell("hold", types=["RDS"])
    plane.update("LDS", "2", listener("later", 81, "later"))
    plane.wait_for_ack("LDS", "2")
    time.sleep(0.5)
    assert "failed to connect" in answer(namespace, 81)
    plane.update("RDS", "2", routes("later", "plain", "2"))
    plane.tell("release")
    wait_until(lambda: generation_of(namespace, 81) == "2", 10, "the routes")


def test_a_changed_listener_serves_as_before_until_its_new_routes_are_there(lab, form):
    namespace, gateway, plane = lab
    with Load(namespace, gateway):
        plane.tell("hold", types=["RDS"])
        plane.update("LDS", "2", listener("edge", 80, "others"))
        plane.wait_for_ack("LDS", "2")
        time.sleep(0.5)
        assert generation_of(namespace) == "1"
        plane.update("RDS", "2", routes("others", "plain", "2"))
        plane.tell("release")
        wait_until(lambda: generation_of(namespace) == "2", 10, "the changed listener")


# --- what is wrong with a response

BAD = {
    "CDS": ({"name": "bad", "lb_policy": "CLUSTER_PROVIDED", "type": "STATIC", "connect_timeout": "-1s"}, "bad"),
    "LDS": (listener("bad", 0), "port_value"),
    "RDS": (routes("routes", "found") | {"virtual_hosts": [{"name": "v", "domains": []}]}, "domains"),
    "EDS": ({"cluster_name": "found", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {}}}]}]}, "address"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_resource_is_rejected_and_changes_nothing(lab, form, kind):
    namespace, gateway, plane = lab
    bad, reason = BAD[kind]
    plane.update(kind, "2", bad)
    assert reason in plane.wait_for_nack(kind, "2")
    assert generation_of(namespace) == "1", "what runs stays"
    if kind in ("CDS", "LDS"):
        stem = {"CDS": "cluster_manager.cds", "LDS": "listener_manager.lds"}[kind]
        assert gateway.value(f"{stem}.update_rejected") == 1
        plane.update(kind, "3", remove=["bad"])
    else:
        plane.update(kind, "3", routes("routes", "found", "3") if kind == "RDS" else assignment("found", *PORTS))
    plane.wait_for_ack(kind, "3")
    assert serves(namespace)


def test_the_good_ones_of_a_response_are_taken_though_it_is_rejected(lab, form):
    namespace, gateway, plane = lab
    plane.update("LDS", "2", listener("good", 81), BAD["LDS"][0])
    plane.wait_for_nack("LDS", "2")
    wait_until(lambda: serves(namespace, 81), 5, "the listener that is good")
    assert serves(namespace)


GARBAGE = {
    "unknown type": dict(version="g", resources=[{"any": {"type_url": "type.googleapis.com/no.such.Type", "value": ""}, "name": "x"}]),
    "bytes that are no cluster": dict(version="g", resources=[{"any": {"type_url": f"{API}.config.cluster.v3.Cluster", "value": "/////w=="}, "name": "x"}]),
    "a listener among clusters": dict(version="g", resources=[{"resource": {"@type": f"{API}.config.listener.v3.Listener", "name": "x"}}]),
    "a name that comes twice": dict(version="g", resources=[static_cluster("twice"), static_cluster("twice", "6s")]),
    "no name": dict(version="g", resources=[{"resource": {"connect_timeout": "1s"}}]),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_is_rejected(lab, form, what):
    namespace, gateway, plane = lab
    assert plane.tell("send", type="CDS", **GARBAGE[what])["streams"] == 1
    assert plane.wait_for_nack("CDS", "g")
    assert generation_of(namespace) == "1"
    plane.set("CDS", "2", eds_cluster("found"), static_cluster("plain"), static_cluster("more"))
    plane.wait_for_ack("CDS", "2")
    assert serves(namespace) and len(plane.streams()) == 1, "on the same stream"


def test_an_empty_version_is_a_version(lab, form):
    namespace, _, plane = lab
    before = len(plane.requests())
    plane.tell("send", type="CDS", version="", resources=[eds_cluster("found"), static_cluster("plain")])
    wait_until(lambda: len(plane.requests()) > before, 5, "the answer")
    assert "error_detail" not in plane.requests(before)[0]["request"]
    assert serves(namespace)


def test_a_message_that_is_none_ends_the_stream_and_not_the_gateway(lab, form):
    namespace, _, plane = lab
    plane.tell("send", type="CDS", bytes="/////w==")
    wait_until(lambda: plane.tell("streams")["opened"] == 2, 10, "another stream")
    assert generation_of(namespace) == "1"
    plane.set("RDS", "2", routes("routes", "found", "2"))
    plane.wait_for_ack("RDS", "2")


def test_rejections_of_a_server_that_repeats_itself_are_rationed(lab, form):
    _, _, plane = lab
    plane.tell("style", resends_after_nack=True)
    before = len(plane.requests())
    plane.update("LDS", "2", BAD["LDS"][0])
    plane.wait_for_nack("LDS", "2")
    time.sleep(2)
    assert len(plane.requests()) - before < 40, "a server that sends the same again at once must not keep us busy"


# --- secrets

@pytest.fixture
def secure(plane, form, tmp_path):
    """Port 443 with a certificate that comes by SDS."""
    authority = Authority(tmp_path / "ca", "edge")
    pairs = [authority.issue(f"leaf-{number}", names="DNS:shop.example") for number in range(2)]
    first_snapshot(plane)
    tls = {"tls_certificate_sds_secret_configs": [{"name": "edge-certificate", "sds_config": ADS}]}
    plane.set("LDS", "1", listener("edge", 80), listener("secure", 443, tls=tls))
    plane.set("SDS", "1", secret("edge-certificate", pairs[0]))
    with serving(ads_bootstrap(form, management_cluster("xds", plane.address)), tmp_path) as (namespace, gateway):
        yield namespace, gateway, plane, pairs


def subject(namespace) -> str:
    result = namespace.run(["openssl", "s_client", "-connect", f"{GATEWAY}:443"], check=False, capture_output=True, text=True, input="")
    match = re.search(r"subject=.*CN = (\S+)", result.stdout)
    return match.group(1) if match else ""


def test_a_certificate_comes_by_sds_and_is_replaced_under_load(secure):
    namespace, gateway, plane, pairs = secure
    assert subject(namespace) == "leaf-0"
    with Load(namespace, gateway, url=f"https://{GATEWAY}/ok", name="secure", connections=10):
        for version in range(2, 8):
            plane.set("SDS", str(version), secret("edge-certificate", pairs[1 - version % 2]))
            plane.wait_for_ack("SDS", str(version))
            wait_until(lambda: subject(namespace) == f"leaf-{1 - version % 2}", 10, "the other certificate")
    assert gateway.value("listener_manager.listener_modified") == 0


def test_a_secret_that_does_not_fit_is_rejected(secure):
    namespace, _, plane, pairs = secure
    plane.set("SDS", "2", secret("edge-certificate", (pairs[0][0], pairs[1][1])))
    assert "edge-certificate" in plane.wait_for_nack("SDS", "2")
    assert subject(namespace) == "leaf-0"
