"""The same gateway on other devices than a TAP."""

import hashlib
import subprocess

from conftest import ORIGIN_PORT, Origin, bootstrap, http_listener
from lab import GATEWAY, HOST, Gateway, Namespace, static_cluster

AF_XDP = f"""workers: {{count: 1, idle: ADAPTIVE}}
ports:
- name: edge
  af_xdp: {{interface: gw0, netns: %s}}
  addresses: [{GATEWAY}/24]
"""


def test_serves_over_af_xdp_on_a_veth(tmp_path):
    text = bootstrap(http_listener("edge", 80, "[{match: {prefix: /}, route: {cluster: origin}}]"),
                     static_cluster("origin", [(HOST, ORIGIN_PORT)]))
    with Namespace() as namespace:
        namespace.run(["ip", "link", "add", "mr0", "type", "veth", "peer", "name", "gw0"])
        # A veth leaves checksums to a NIC that is not there; AF_XDP would show us packets without them.
        namespace.run(["ethtool", "-K", "mr0", "tx", "off"], stdout=subprocess.DEVNULL)
        namespace.run(["ip", "link", "set", "gw0", "up"])
        with Gateway(namespace, text, dataplane=AF_XDP % namespace.name, host_addresses=[f"{HOST}/24"]) as gateway:
            tmp_path.chmod(0o755)
            origin = Origin(namespace, tmp_path)
            expected = origin.add_file("file", 5_000_000)
            body = namespace.run(["curl", "-sS", "--max-time", "60", f"http://{GATEWAY}/file"], stdout=subprocess.PIPE).stdout
            assert hashlib.sha256(body).hexdigest() == expected
            assert gateway.kernel_sockets() == []
            received, sent = gateway.port_packets()
            assert sent >= 5_000_000 / 1460 and received >= 5_000_000 / 1460
            assert '"driver": "net_af_xdp"' in gateway.admin("/millrace/nic")


def test_device_that_does_not_exist_is_refused_with_exit_status_two():
    with Namespace() as namespace:
        gateway = Gateway(namespace, "static_resources: {}\n", dataplane=AF_XDP % namespace.name)
        try:
            done = subprocess.run(gateway.command(), capture_output=True, text=True, timeout=60)
            assert done.returncode == 2, done.stderr
            assert "gw0" in done.stderr and "edge" in done.stderr
        finally:
            gateway.close()
