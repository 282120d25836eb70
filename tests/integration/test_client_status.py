"""What a gateway tells of its control plane: to those who ask by gRPC (CSDS), and in /config_dump, with what was refused."""

import json
import os
import stat
import subprocess

import pytest

from certificates import Authority
from conftest import ORIGIN_PORT
from control_plane import ControlPlane
from lab import Namespace, wait_until
from xds_lab import XdsGateway, ads_bootstrap, assignment, eds_cluster, first_snapshot, listener, management_cluster, routes, secret

TLS = {"tls_certificate_sds_secret_configs": [{"name": "cert", "sds_config": {"ads": {}, "resource_api_version": "V3"}}]}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A gateway with a control plane that has said its first, a certificate among it, and answers at a Unix socket."""
    place = tmp_path_factory.mktemp("csds")
    key_pair = Authority(place / "ca", "authority").issue("server", names="DNS:example")
    with ControlPlane() as plane, Namespace() as namespace:
        first_snapshot(plane)
        plane.update("LDS", "1", listener("secure", 443, tls=TLS))
        plane.set("SDS", "1", secret("cert", key_pair))
        text = ads_bootstrap("DELTA_GRPC", management_cluster("xds", plane.address))
        address = f"unix:{place}/csds.sock"
        with XdsGateway(namespace, text, arguments=["--csds-address", address]) as gateway:
            yield gateway, plane, address


def ask(plane, address, streamed: bool = False, **request) -> dict[tuple[str, str], dict]:
    """By the end of the type's URL and name."""
    answer = plane.tell("client_status", address=address, streamed=streamed, request=request)
    entries = [entry for config in answer["response"].get("config", []) for entry in config["generic_xds_configs"]]
    return {(entry["type_url"].rpartition(".")[2], entry.get("name", "")): entry for entry in entries}


def dynamic(gateway, section: str, *names: str) -> list[dict]:
    """The entries of these lists of a section of the dump."""
    dump = json.loads(gateway.admin("/config_dump?include_eds"))["configs"]
    (found,) = [config for config in dump if config["@type"].endswith("." + section)]
    return [entry for name in names for entry in found.get(name, [])]


def test_a_client_is_asked_for_its_state(lab):
    _, plane, address = lab
    answer = plane.tell("client_status", address=address)["response"]["config"][0]
    assert answer["node"]["id"] == "test-id"
    for streamed in (False, True):
        entries = ask(plane, address, streamed)
        for key in (("Cluster", "found"), ("ClusterLoadAssignment", "found"), ("Listener", "edge"), ("RouteConfiguration", "routes"),
                    ("Secret", "cert")):
            assert entries[key]["client_status"] == "ACKED" and entries[key]["version_info"] == "1", key
            assert entries[key]["xds_config"]["@type"] == entries[key]["type_url"]
        assert entries["Cluster", "xds"]["is_static_resource"]


def test_secrets_are_unreadable(lab):
    _, plane, address = lab
    text = json.dumps(plane.tell("client_status", address=address))
    assert "[redacted]" in text and "PRIVATE KEY" not in text


def test_other_clients_are_not_answered_for(lab):
    _, plane, address = lab
    assert ask(plane, address, node_matchers=[{"node_id": {"exact": "somebody-else"}}]) == {}
    refused = plane.tell("client_status", address=address,
                         request={"node_matchers": [{"node_metadatas": [{"path": [{"key": "a"}], "value": {"present_match": True}}]}]})
    assert refused["code"] == 3 and "node_metadatas" in refused["message"]


def test_the_socket_is_for_its_owner_alone(lab):
    address = lab[2]
    assert stat.S_IMODE(os.stat(address.removeprefix("unix:")).st_mode) == 0o600


BAD = {
    "CDS": ({"name": "found", "type": "STATIC", "connect_timeout": "-1s"}, ("Cluster", "found"),
            ("ClustersConfigDump", "dynamic_active_clusters", "dynamic_warming_clusters"), eds_cluster("found")),
    "LDS": (listener("edge", 0), ("Listener", "edge"), ("ListenersConfigDump", "dynamic_listeners"), listener("edge", 80)),
    "RDS": (routes("routes", "found") | {"virtual_hosts": [{"name": "v", "domains": []}]}, ("RouteConfiguration", "routes"),
            ("RoutesConfigDump", "dynamic_route_configs"), routes("routes", "found", "1")),
    "EDS": ({"cluster_name": "found", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {}}}]}]}, ("ClusterLoadAssignment", "found"),
            ("EndpointsConfigDump", "dynamic_endpoint_configs"), assignment("found", ORIGIN_PORT)),
    "SDS": ({"name": "cert", "tls_certificate": {"certificate_chain": {"inline_string": "none"}, "private_key": {"inline_string": "HIDDEN"}}},
            ("Secret", "cert"), ("SecretsConfigDump", "dynamic_active_secrets"), None),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_refused_stands_beside_what_is_in_use_until_it_is_good(lab, kind):
    gateway, plane, address = lab
    bad, key, lists, good = BAD[kind]
    plane.update(kind, "2", bad)
    plane.wait_for_nack(kind, "2")
    (failure,) = [entry["error_state"] for entry in dynamic(gateway, *lists) if "error_state" in entry]
    assert failure["version_info"] == "2" and failure["details"] and failure["last_update_attempt"]
    assert failure["failed_configuration"]["@type"].endswith(key[0])
    entry = ask(plane, address)[key]
    assert entry["client_status"] == "NACKED" and entry["version_info"] == "1" and entry["error_state"]["version_info"] == "2"
    assert "HIDDEN" not in json.dumps([failure, entry])
    if good is None:
        return
    plane.update(kind, "3", good)
    plane.wait_for_ack(kind, "3")
    assert not [entry for entry in dynamic(gateway, *lists) if "error_state" in entry]
    assert ask(plane, address)[key]["client_status"] == "ACKED"


def test_what_has_not_come_is_requested(lab):
    _, plane, address = lab
    plane.tell("hold", types=["EDS"])
    plane.update("CDS", "9", eds_cluster("late"))
    wait_until(lambda: ("ClusterLoadAssignment", "late") in ask(plane, address), 5, "the request")
    assert ask(plane, address)["ClusterLoadAssignment", "late"]["client_status"] == "REQUESTED"


@pytest.mark.parametrize("address", ["nowhere", "unix:", "127.0.0.1:", "127.0.0.1:0"])
def test_an_address_that_is_none_is_told(address):
    done = subprocess.run([os.environ["MILLRACE_BINARY"], "--config-yaml", "{}", "--csds-address", address, "--mode", "validate"],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "--csds-address" in done.stdout + done.stderr
