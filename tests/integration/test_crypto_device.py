"""TLS with real peers, as in test_tls.py, where a crypto device has the records: crypto_aesni_mb, which computes on the workers' CPUs."""

import hashlib
import json
import subprocess

import pytest

from conftest import bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, Namespace, static_cluster, wait_until
from test_tls import (TLS, World, curl_tls, s_client, serving, tls_stats, test_a_server_that_sends_key_updates_is_understood,  # noqa: F401
                      test_bulk_download_is_intact_and_sealed_by_the_record_engine, test_bulk_upload_is_intact,
                      test_close_notify_ends_what_we_send, test_every_suite_of_tls12, test_every_suite_of_tls13, test_gnutls_is_served,
                      test_haproxy_as_origin_with_mutual_tls, test_key_updates_in_both_directions, test_nginx_as_origin_with_mutual_tls,
                      test_plain_text_and_tls_on_one_port, test_sessions_are_resumed, test_nothing_is_left_when_all_clients_have_gone)


def device(name: str = "crypto_aesni_mb", more: str = "connections: 4096") -> str:
    return f"{{record_engine: CRYPTODEV, crypto_device: {{name: {name}, {more}}}}}"


def crypto(gateway) -> dict:
    return json.loads(gateway.admin("/millrace/nic"))["crypto_device"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("crypto"))


@pytest.fixture(scope="module")
def bulk_bytes(bulk_bytes):
    return bulk_bytes // 4


@pytest.fixture(scope="module")
def lab(world):
    with serving(world, tls=device()) as made:
        yield made


def records(gateway) -> int:
    stats = tls_stats(gateway)
    return stats["records_sealed"] + stats["records_opened"]


def test_the_device_has_all_records_where_they_lie(lab, world, bulk_bytes):
    namespace, gateway, origin = lab
    expected = origin.add_file("counted", bulk_bytes)
    before, used_before = records(gateway), crypto(gateway)
    body = curl_tls(namespace, world, "/counted").stdout
    assert hashlib.sha256(body).hexdigest() == expected
    wait_until(lambda: records(gateway) - before >= bulk_bytes // (1 << 14), 5, "all records are counted")
    used = crypto(gateway)
    went = used["records"] - used_before["records"]
    assert went > 0.99 * (records(gateway) - before), (used, used_before)
    assert used["copied"] - used_before["copied"] < 0.01 * went, (used, used_before)
    assert used["failed"] == 0 and used["software_keys"] == 0, used
    assert all(use["where"] == "device" for use in used["offloads"].values()), used
    assert tls_stats(gateway)["library_bytes_sealed"] == 0


def test_keys_go_with_their_connections(lab, world):
    assert "HTTP/1.1 200 OK" in s_client(lab[0], world, TLS)
    # What is left are connections to origins, which wait for the next request.
    idle = lambda: sum(value for name, value in lab[1].stats(r"^cluster\..*_tls\.upstream_cx_active$").items())
    wait_until(lambda: tls_stats(lab[1])["streams"] == idle() and crypto(lab[1])["keys"] == 2 * idle(), 10, "no other key is left")


def test_the_log_says_who_does_what(lab):
    assert "crypto device crypto_aesni_mb: crypto_aesni_mb on the workers' CPUs, 1 queue pairs" in lab[1].log_text()


def test_what_the_device_lacks_is_done_in_software(tmp_path):
    """crypto_aesni_gcm has no ChaCha20-Poly1305; and there is room for the two keys of one connection only."""
    world = World(tmp_path)
    with serving(world, tls=device("crypto_aesni_gcm", "connections: 1")) as (namespace, gateway, _):
        assert "device: AES-128-GCM, AES-256-GCM; software: ChaCha20-Poly1305" in gateway.log_text()
        for cipher in ("TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"):
            assert "HTTP/1.1 200 OK" in s_client(namespace, world, TLS, "-tls1_3", "-ciphersuites", cipher)
        used = crypto(gateway)
        assert used["software_keys"] == 2 and used["records"] > 0, used
        assert used["offloads"]["ChaCha20-Poly1305"]["why"] == "the driver does not offer it"
        wait_until(lambda: crypto(gateway)["keys"] == 0, 10, "its keys are gone")
        idle = subprocess.Popen(namespace.command(["openssl", "s_client", "-connect", f"{GATEWAY}:{TLS}", "-tls1_3", "-ciphersuites",
                                                   "TLS_AES_128_GCM_SHA256"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            while b"Cipher is" not in idle.stdout.readline():
                pass
            assert "HTTP/1.1 200 OK" in s_client(namespace, world, TLS, "-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256")
            assert crypto(gateway)["keys"] == 2 and crypto(gateway)["software_keys"] == 4
        finally:
            idle.kill()
            idle.communicate()


@pytest.mark.parametrize("name,reason", [
    ("crypto_aesni_mp", "crypto device \"crypto_aesni_mp\": there is no such device, and none can be made"),
    ("crypto_null", "offers no cipher of TLS"),
    ("eth0", "no driver in software whose name would begin with \"crypto_\""),
])
def test_a_device_that_cannot_be_used_is_an_error_at_start(name, reason):
    text = bootstrap(http_listener("edge", 80, "[{match: {prefix: /}, route: {cluster: origin}}]"), static_cluster("origin", [(HOST, 80)]))
    with Namespace() as namespace:
        gateway = Gateway(namespace, text, tls=device(name))
        try:
            done = subprocess.run(gateway.command(), capture_output=True, text=True, timeout=60)
        finally:
            gateway.close()
    assert done.returncode == 2, done.stderr
    assert reason in done.stderr and "Drivers of this DPDK: " in done.stderr and "crypto_aesni_mb" in done.stderr, done.stderr
