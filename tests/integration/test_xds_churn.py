"""A thousand changes of configuration from a control plane under load, of every kind: no request may fail."""

import time

import pytest

from certificates import Authority
from conftest import ORIGIN_PORT
from lab import GATEWAY, wait_until
from test_xds import subject
from xds_lab import (ADS, FORMS, PORTS, Load, ads_bootstrap, assignment, eds_cluster, first_snapshot, generation_of, listener,
                     management_cluster, routes, secret, serving, static_cluster)

ROUNDS = 200
KINDS = ("listener chain", "route", "cluster", "endpoint", "secret")  # each in every round
CERTIFICATES = 2


def changes(generation: int, pairs: list) -> dict[str, tuple[str, list[dict]]]:
    """What each kind of change brings in a round: its type and resources, all different from the round before."""
    tls = {"tls_certificate_sds_secret_configs": [{"name": "edge-certificate", "sds_config": ADS}]}
    return {
        "cluster": ("CDS", [eds_cluster("found", f"{5 + generation % 3}s"), static_cluster("plain", f"{5 + generation % 4}s"),
                            static_cluster(f"extra-{generation}")]),
        "endpoint": ("EDS", [assignment("found", *[port for port in PORTS if port != PORTS[generation % len(PORTS)]])]),
        "listener chain": ("LDS", [listener("edge", 80, server=f"generation-{generation}"),
                                   listener("secure", 443, server=f"generation-{generation}", tls=tls)]),
        "route": ("RDS", [routes("routes", "plain" if generation % 2 else "found", str(generation))]),
        "secret": ("SDS", [secret("edge-certificate", pairs[generation % CERTIFICATES])]),
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_thousand_changes_fail_no_request(plane, form, tmp_path):
    authority = Authority(tmp_path / "ca", "edge")
    pairs = [authority.issue(f"leaf-{number}", names="DNS:shop.example") for number in range(CERTIFICATES)]
    first_snapshot(plane)
    for kind, resources in changes(0, pairs).values():
        plane.set(kind, "0", *resources)
    with serving(ads_bootstrap(form, management_cluster("xds", plane.address)), tmp_path) as (namespace, gateway):
        began = time.monotonic()
        with Load(namespace, gateway) as plain, Load(namespace, gateway, url=f"https://{GATEWAY}/ok", name="secure", connections=10) as secure:
            for generation in range(1, ROUNDS + 1):
                made = changes(generation, pairs)
                for name in KINDS:
                    kind, resources = made[name]
                    plane.set(kind, str(generation), *resources)
                for kind, _ in made.values():
                    plane.wait_for_ack(kind, str(generation))
                if generation % 20 == 0:
                    wait_until(lambda: generation_of(namespace) == str(generation), 10, f"routes of generation {generation}")
                    wait_until(lambda: subject(namespace) == f"leaf-{generation % CERTIFICATES}", 10, "the certificate of the round")
            seconds = time.monotonic() - began
        print(f"{ROUNDS * len(KINDS)} changes in {seconds:.1f} s ({form}), {plain.requests} requests in the clear, {secure.requests} over TLS")
        assert plain.requests > 1000 and secure.requests > 100
        for stem in ("cluster_manager.cds", "listener_manager.lds", "http.edge.rds.routes", "cluster.found"):
            assert gateway.value(f"{stem}.update_rejected") == 0, stem
        assert gateway.value("listener_manager.listener_modified") >= 2 * ROUNDS
        assert gateway.value("cluster_manager.cluster_added") >= ROUNDS
