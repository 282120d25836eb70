"""The last good configuration on disk: --snapshot, --snapshot-secrets, and starts without a control plane."""

import subprocess

import pytest

from certificates import Authority
from control_plane import ControlPlane
from lab import GATEWAY, HOST, Gateway, Namespace, wait_until
from xds_lab import (ADS, FORMS, XdsGateway, ads_bootstrap, answer, eds_cluster, first_snapshot, generation_of, listener, management_cluster,
                     routes, secret, serves, start_origin)


@pytest.fixture
def kept(tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o700)
    return folder / "snapshot"


@pytest.fixture
def namespace(tmp_path):
    """With the origin, which outlives gateways."""
    with Namespace() as made:
        made.run(["ip", "address", "add", f"{HOST}/32", "dev", "lo"])
        start_origin(made, tmp_path)
        yield made


def gateway(namespace, plane, form, kept, *more, **options) -> XdsGateway:
    bootstrap = ads_bootstrap(form, management_cluster("xds", plane.address), **options)
    return XdsGateway(namespace, bootstrap, arguments=["--snapshot", str(kept), *more])


def learn(namespace, plane, form, kept, *more) -> None:
    """A gateway hears of the world, keeps it, and goes."""
    with gateway(namespace, plane, form, kept, *more) as learner:
        wait_until(lambda: learner.value("millrace.snapshot.written") > 0, 20, "the file")
        assert learner.value("millrace.snapshot.resources") >= 4


@pytest.mark.parametrize("form", FORMS)
def test_a_restart_without_a_control_plane_serves_what_was_good_last(plane, form, namespace, kept):
    first_snapshot(plane)
    learn(namespace, plane, form, kept)
    assert kept.stat().st_mode & 0o777 == 0o600
    plane.kill()
    with gateway(namespace, plane, form, kept) as again:
        assert generation_of(namespace) == "1"
        assert "nobody answers" in again.log_text()
        plane.start()
        first_snapshot(plane)
        plane.set("RDS", "2", routes("routes", "found", "2"))
        wait_until(lambda: generation_of(namespace) == "2", 20, "what the control plane says when it is back")
        plane.set("LDS", "3")
        wait_until(lambda: not serves(namespace), 20, "the end of a listener that stood in")


def test_a_control_plane_that_hangs_is_waited_for_a_while(plane, namespace, kept):
    first_snapshot(plane)
    learn(namespace, plane, "DELTA_GRPC", kept)
    plane.tell("hold", types=["CDS", "EDS", "LDS", "RDS"])
    with gateway(namespace, plane, "DELTA_GRPC", kept):
        assert generation_of(namespace) == "1"


def test_a_control_plane_that_answers_is_believed(plane, namespace, kept):
    first_snapshot(plane)
    learn(namespace, plane, "GRPC", kept)
    plane.set("RDS", "5", routes("routes", "found", "5"))
    with gateway(namespace, plane, "GRPC", kept) as again:
        assert generation_of(namespace) == "5"
        assert "nobody answers" not in again.log_text()


def test_garbage_does_not_replace_what_was_good_last(plane, namespace, kept):
    first_snapshot(plane)
    learn(namespace, plane, "DELTA_GRPC", kept)
    plane.set("CDS", "6", eds_cluster("found") | {"connect_timeout": "-5s"})
    with gateway(namespace, plane, "DELTA_GRPC", kept):
        plane.wait_for_nack("CDS", "6")
        assert generation_of(namespace) == "1"


def test_a_damaged_file_is_told_and_not_used(plane, namespace, kept):
    first_snapshot(plane)
    learn(namespace, plane, "GRPC", kept)
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    with gateway(namespace, plane, "GRPC", kept) as again:
        assert f"{kept}: its checksum is wrong" in again.log_text()
        assert serves(namespace), "the control plane is there"
        wait_until(lambda: again.value("millrace.snapshot.written") > 0, 20, "a good file")


def secured(tmp_path, plane) -> str:
    """Port 443 beside port 80, whose key comes by SDS; the key."""
    pair = Authority(tmp_path / "ca", "edge").issue("leaf", names="DNS:shop.example")
    first_snapshot(plane)
    tls = {"tls_certificate_sds_secret_configs": [{"name": "edge-certificate", "sds_config": ADS}]}
    plane.set("LDS", "1", listener("edge", 80), listener("secure", 443, tls=tls))
    plane.set("SDS", "1", secret("edge-certificate", pair))
    return pair[1].read_text()


def test_private_keys_are_not_in_the_file(plane, namespace, kept, tmp_path):
    key = secured(tmp_path, plane)
    with gateway(namespace, plane, "GRPC", kept) as learner:
        wait_until(lambda: learner.value("millrace.snapshot.left_out") == 1, 20, "the file")
        assert 'Secret "edge-certificate" holds private data' in learner.log_text()
    assert key.splitlines()[1].encode() not in kept.read_bytes()
    plane.kill()
    with gateway(namespace, plane, "GRPC", kept):
        assert serves(namespace), "other listeners do not wait for the key"
        assert "200 ok" not in answer(namespace, 443, scheme="https")


def test_private_keys_are_in_the_file_when_asked_for(plane, namespace, kept, tmp_path):
    secured(tmp_path, plane)
    learn(namespace, plane, "GRPC", kept, "--snapshot-secrets")
    plane.kill()
    with gateway(namespace, plane, "GRPC", kept, "--snapshot-secrets"):
        assert "200 ok" in answer(namespace, 443, scheme="https")


@pytest.mark.parametrize("arguments, why", [
    (["--snapshot", "/nowhere/snapshot"], "/nowhere"),
    (["--snapshot-secrets"], "--snapshot"),
    (["--snapshot", "OPEN/snapshot", "--snapshot-secrets"], "chmod 700")])
def test_what_cannot_be_kept_is_told_at_the_start(arguments, why, tmp_path):
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(0o755)
    dataplane = f"ports: [{{name: edge, tap: {{interface: mr0}}, addresses: [{GATEWAY}/24]}}]"
    gateway = Gateway(None, ads_bootstrap("GRPC", management_cluster("xds", "127.0.0.1:1")), dataplane=dataplane)
    command = [*gateway.command(), *(argument.replace("OPEN", str(place)) for argument in arguments), "--mode", "validate"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert result.returncode == 1
    assert why in result.stdout + result.stderr
