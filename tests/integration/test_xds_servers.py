"""Control planes that go and come: restarts, failures of every kind, hangs, older versions, half a world, and one that stands in."""

import time

from conftest import ORIGIN_PORT
from control_plane import ControlPlane
from lab import HOST, Namespace, wait_until
from xds_lab import (PORTS, Load, XdsGateway, ads_bootstrap, answer, assignment, eds_cluster, first_snapshot, form, generation_of, lab,
                     listener, management_cluster, routes, serves, serving, start_origin, static_cluster, tls)


def test_another_server_with_another_version_is_followed(lab, form):
    namespace, gateway, plane = lab
    with Load(namespace, gateway):
        plane.kill()
        time.sleep(1)
        assert generation_of(namespace) == "1", "without a control plane it goes on"
        plane.start()
        plane.set("CDS", "9", eds_cluster("found"), static_cluster("plain", "6s"))
        plane.set("EDS", "9", assignment("found", *PORTS))
        plane.set("LDS", "9", listener("edge", 80))
        plane.set("RDS", "9", routes("routes", "plain", "9"))
        for kind in ("CDS", "EDS", "LDS", "RDS"):
            plane.wait_for_ack(kind, "9")
        wait_until(lambda: generation_of(namespace) == "9", 10, "what the new server says")
    first = plane.requests_for("Cluster")[0]
    if "DELTA" in form:
        assert first["initial_resource_versions"] == {"found": "1", "plain": "1"}
    else:
        assert first["version_info"] == "1"
    assert "response_nonce" not in first


def test_what_a_server_no_longer_knows_after_its_restart_is_removed(lab, form):
    namespace, gateway, plane = lab
    plane.kill()
    plane.start()
    plane.set("CDS", "2", eds_cluster("found"))
    plane.set("LDS", "2", listener("edge", 80))
    plane.set("EDS", "2", assignment("found", ORIGIN_PORT))
    plane.set("RDS", "2", routes("routes", "found", "2"))
    plane.wait_for_ack("CDS", "2")
    wait_until(lambda: "plain::" not in gateway.admin("/clusters"), 20, "the end of the cluster")
    wait_until(lambda: generation_of(namespace) == "2", 10, "the new routes")


def test_a_server_that_knows_that_we_know_says_nothing(lab, form):
    namespace, gateway, plane = lab
    plane.tell("style", skips_known_version=True)
    plane.tell("close")
    wait_until(lambda: plane.tell("streams")["opened"] == 2, 10, "another stream")
    time.sleep(1)
    assert generation_of(namespace) == "1"
    plane.set("RDS", "2", routes("routes", "found", "2"))
    plane.wait_for_ack("RDS", "2")


def test_a_flapping_server_fails_no_request(lab, form):
    namespace, gateway, plane = lab
    with Load(namespace, gateway):
        for _ in range(10):
            plane.tell("stop")
            time.sleep(0.2)
            plane.tell("start")
            time.sleep(0.3)
        plane.tell("new_streams", **{"as": "refuse", "code": 14})
        plane.tell("close")
        time.sleep(3)
        refused = plane.tell("streams")["refused"]
        plane.tell("new_streams", **{"as": "serve"})
        plane.set("RDS", "2", routes("routes", "found", "2"))
        plane.wait_for_ack("RDS", "2")
        wait_until(lambda: generation_of(namespace) == "2", 10, "the routes after the storm")
    assert 2 <= refused <= 30, "streams are tried again, and not without pause"


def test_a_server_that_comes_and_goes_every_second_fails_no_request(lab, form):
    """Each time another process, which knows nothing at first."""
    namespace, gateway, plane = lab
    with Load(namespace, gateway, connections=4):
        opened = gateway.value("http.edge.downstream_cx_total")
        for _ in range(15):
            plane.kill()
            time.sleep(0.5)
            plane.start()
            first_snapshot(plane)
            time.sleep(0.5)
            assert generation_of(namespace) == "1"
        plane.set("RDS", "2", routes("routes", "found", "2"))
        plane.wait_for_ack("RDS", "2")
        wait_until(lambda: generation_of(namespace) == "2", 10, "the routes after the storm")
        assert gateway.value("http.edge.downstream_cx_total") - opened <= 40, "those of curl: the load kept its own"
    assert gateway.value("listener_manager.listener_modified") == 0


def test_a_server_that_hangs_after_it_has_served_fails_no_request(lab, form):
    namespace, gateway, plane = lab
    with Load(namespace, gateway, connections=4):
        with plane.hanging():
            time.sleep(5)
            assert generation_of(namespace) == "1"
        plane.set("RDS", "2", routes("routes", "found", "2"))
        plane.wait_for_ack("RDS", "2")
        wait_until(lambda: generation_of(namespace) == "2", 10, "the routes after the pause")
    assert plane.tell("streams")["opened"] == 1, "nobody was to ask whether it lives"


def test_a_server_that_hangs_behind_tls_is_given_up_when_keep_alive_says_so(tls, tmp_path):
    """It has been silent for long: whether it lives was asked more than once."""
    plane, socket = tls
    cluster = management_cluster("xds", plane.address, socket)
    protocol = cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]["explicit_http_config"]
    protocol["http2_protocol_options"] = {"connection_keepalive": {"interval": "1s", "timeout": "2s"}}
    with serving(ads_bootstrap("DELTA_GRPC", cluster), tmp_path) as (namespace, gateway):
        connected = lambda: gateway.value("control_plane.connected_state")
        with Load(namespace, gateway, connections=4):
            time.sleep(6)
            assert connected() == 1 and plane.tell("streams")["opened"] == 1, "one that answers is kept"
            with plane.hanging():
                since = time.monotonic()
                wait_until(lambda: connected() == 0, 10, "the loss")
                assert 2 <= time.monotonic() - since <= 6, "interval and timeout, 3 s, and as much for a busy machine"
                assert generation_of(namespace) == "1"
            wait_until(lambda: connected() == 1, 10, "another stream")
            plane.set("RDS", "2", routes("routes", "found", "2"))
            plane.wait_for_ack("RDS", "2")
            wait_until(lambda: generation_of(namespace) == "2", 10, "the routes after the pause")


def test_a_server_that_comes_back_with_an_older_version_is_followed(lab, form):
    namespace, gateway, plane = lab
    with Load(namespace, gateway, connections=4):
        plane.set("CDS", "5", eds_cluster("found", "6s"), static_cluster("plain"), static_cluster("newer"))
        plane.set("EDS", "5", assignment("found", *PORTS))
        plane.set("LDS", "5", listener("edge", 80), listener("newer", 81))
        plane.set("RDS", "5", routes("routes", "newer", "5"))
        wait_until(lambda: generation_of(namespace) == "5" and serves(namespace, 81), 10, "the newer world")
        plane.kill()
        time.sleep(1)
        assert generation_of(namespace) == "5", "nobody has said otherwise"
        plane.start()
        first_snapshot(plane)
        for kind in ("CDS", "EDS", "LDS", "RDS"):
            plane.wait_for_ack(kind, "1")
        wait_until(lambda: generation_of(namespace) == "1", 10, "the older routes")
        wait_until(lambda: "newer::" not in gateway.admin("/clusters"), 15, "the end of the newer cluster")
        wait_until(lambda: "failed to connect" in answer(namespace, 81), 10, "the end of the newer listener")
        wait_until(lambda: f"found::{HOST}:{PORTS[1]}::" not in gateway.admin("/clusters"), 10, "the end of the newer endpoints")


def test_half_a_world_leaves_the_other_half_as_it_was(lab, form):
    """A server that has started anew says clusters and nothing else, for longer than anybody waits, and dies. Nothing is kept on disk."""
    namespace, gateway, plane = lab
    with Load(namespace, gateway, connections=4):
        plane.kill()
        plane.start()
        plane.set("CDS", "2", eds_cluster("found", "7s"), static_cluster("plain"), eds_cluster("more"))
        plane.wait_for_ack("CDS", "2")
        wait_until(lambda: gateway.value("cluster.more.init_fetch_timeout") == 1, 20, "the end of initial_fetch_timeout")
        for kind in ("ClusterLoadAssignment", "Listener", "RouteConfiguration"):
            assert plane.requests_for(kind), f"{kind} is asked for"
        assert f"found::{HOST}:{ORIGIN_PORT}::" in gateway.admin("/clusters"), "as it was said last"
        assert gateway.value("cluster_manager.cluster_modified") == 1
        plane.kill()
        time.sleep(1)
        assert generation_of(namespace) == "1"
        plane.start()
        first_snapshot(plane)
        plane.set("RDS", "3", routes("routes", "found", "3"))
        wait_until(lambda: generation_of(namespace) == "3", 10, "the whole world again")
    for stem in ("cluster_manager.cds", "listener_manager.lds"):
        assert gateway.value(f"{stem}.update_rejected") == 0


def test_half_a_world_is_waited_for_at_the_start(plane, form, tmp_path):
    """The server dies between listeners and routes; nothing is kept on disk."""
    first_snapshot(plane)
    plane.tell("hold", types=["RDS"])
    with Namespace() as namespace:
        gateway = XdsGateway(namespace, ads_bootstrap(form, management_cluster("xds", plane.address)))
        with gateway.starting():
            plane.wait_for_ack("LDS", "1")
            plane.kill()
            time.sleep(2)
            assert not gateway.is_live(), "its routes have not come"
            plane.start()
            first_snapshot(plane)
            wait_until(gateway.is_live, 10, "the other half")
            start_origin(namespace, tmp_path)
            wait_until(lambda: generation_of(namespace) == "1", 10, "a request that is answered")


def test_another_server_stands_in_where_the_first_cannot_be_reached(form, tmp_path):
    with ControlPlane() as first, ControlPlane() as second:
        for plane, generation in ((first, "first"), (second, "second")):
            first_snapshot(plane)
            plane.set("RDS", generation, routes("routes", "found", generation))
        first.tell("stop")
        text = ads_bootstrap(form, management_cluster("first", first.address), management_cluster("second", second.address))
        with serving(text, tmp_path) as (namespace, _):
            assert generation_of(namespace) == "second"
            first.tell("start")
            second.tell("stop")
            wait_until(lambda: generation_of(namespace) == "first", 20, "the first server")
