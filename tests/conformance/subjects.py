"""The two subjects: an HTTP proxy at 198.18.0.2 and 2001:db8:18::2, port 80, either Millrace's own stack or Linux's.

Both route /raw/N/ to the N-th raw origin, which a check plays itself, and all else to the well-behaved origin.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "deploy" / "lab"))

from lab import Gateway, LabError, Namespace, wait_until  # noqa: E402
from wire import GATEWAY, GATEWAY6, ROUTER, ROUTER6, PacketSocket, Tap, Wire  # noqa: E402

ORIGIN_PORT = 8000
RAW_ORIGINS, RAW_ORIGINS6 = 160, 48


def raw_origin(number: int) -> str:
    """Address of the raw origin of /raw/<number>/; those from RAW_ORIGINS on speak IPv6."""
    if number < RAW_ORIGINS:
        return f"198.18.200.{number + 1}"
    return f"2001:db8:18::200:{number + 1:x}"


def raw_numbers() -> range:
    return range(RAW_ORIGINS + RAW_ORIGINS6)


class MillraceSubject:
    """The gateway's binary on a TAP; the kernel's end of it has no addresses and answers nothing."""

    name = "Millrace"

    def __init__(self):
        self.namespace = Namespace()
        self.gateway: Gateway | None = None
        self.wire: Wire | None = None
        self._link: PacketSocket | None = None

    def __enter__(self) -> Wire:
        self.namespace.__enter__()
        try:
            self.namespace.run(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1", "net.ipv6.conf.all.disable_ipv6=1"])
            self._link = PacketSocket(self.namespace.name)
            self.gateway = Gateway(_Silent(self), self._bootstrap(), dataplane=self._dataplane(), host_addresses=[])
            self.gateway.start()
            self.wire.resolve_gateway()
            self.wire.resolve_gateway6()
            return self.wire
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __exit__(self, kind, *_) -> None:
        if self.gateway is not None:
            self.gateway.close(show_log=kind is not None)
        if self.wire is not None:
            self.wire.close()
        self.namespace.close()

    def alive(self) -> bool:
        return self.gateway.process.poll() is None

    def attach(self, interface: str) -> None:
        """Waits for the TAP, and keeps the kernel quiet on it."""
        exists = lambda: self.namespace.run(["ip", "link", "show", interface], check=False, capture_output=True).returncode == 0
        wait_until(exists, 20, f"interface {interface}", interval=0.01)
        self.namespace.run(["ip", "link", "set", interface, "arp", "off", "txqueuelen", "10000"])
        self._link.send_to(interface)
        self.wire = Wire(self._link)
        self.wire.advertises_router = True  # it has no IPv6 default route of its own
        self.namespace.run(["ip", "link", "set", interface, "up"])

    def _dataplane(self) -> str:
        return (f"workers: {{count: 1, idle: ADAPTIVE}}\nports:\n- name: edge\n"
                f"  tap: {{interface: mr0, netns: {self.namespace.name}}}\n"
                f"  addresses: [{GATEWAY}/16, \"{GATEWAY6}/64\"]\n"
                f"  routes: [{{to: 0.0.0.0/0, via: {ROUTER}}}]\n")

    @staticmethod
    def _bootstrap() -> str:
        route = "{{match: {{prefix: {0}}}, route: {{cluster: {1}, timeout: 0s}}}}"
        routes = ", ".join([*(route.format(f"/raw/{n}/", f"raw{n}") for n in raw_numbers()), route.format("/", "origin")])
        listeners = "".join(_listener(name, address, routes) for name, address in (("four", GATEWAY), ("six", GATEWAY6)))
        clusters = _cluster("origin", ROUTER) + "".join(_cluster(f"raw{n}", raw_origin(n)) for n in raw_numbers())
        return f"static_resources:\n  listeners:\n{listeners}  clusters:\n{clusters}"


class _Silent:
    """What Gateway sees of a namespace: its name, and how its interface is brought up here."""

    def __init__(self, subject: MillraceSubject):
        self.name, self._subject = subject.namespace.name, subject

    def attach_interface(self, interface: str, _addresses: list[str]) -> None:
        self._subject.attach(interface)


def _listener(name: str, address: str, routes: str) -> str:
    return f"""  - name: {name}
    address: {{socket_address: {{address: "{address}", port_value: 80}}}}
    per_connection_buffer_limit_bytes: 32768
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {name}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config: {{name: {name}, virtual_hosts: [{{name: all, domains: ["*"], routes: [{routes}]}}]}}
"""


def _cluster(name: str, address: str) -> str:
    endpoint = f"{{endpoint: {{address: {{socket_address: {{address: \"{address}\", port_value: {ORIGIN_PORT}}}}}}}}}"
    return (f"  - {{name: {name}, type: STATIC, connect_timeout: 30s, per_connection_buffer_limit_bytes: 32768, "
            f"load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{endpoint}]}}]}}}}\n")


class LinuxSubject:
    """The kernel's stack in a namespace, with haproxy on it, behind a TAP that the suite holds."""

    name = "Linux"
    # Every value that is not the kernel's default; the README says why.
    SYSCTLS = {
        "net.ipv4.conf.all.rp_filter": 1, "net.ipv4.ip_forward": 0, "net.ipv4.tcp_ecn": 1, "net.ipv4.tcp_rfc1337": 1,
        "net.ipv4.tcp_mtu_probing": 1,
        "net.ipv4.tcp_rmem": "4096 131072 262144", "net.ipv4.tcp_wmem": "4096 65536 262144",
        "net.ipv4.tcp_max_syn_backlog": 256, "net.core.somaxconn": 256,
    }

    def __init__(self):
        self.namespace = Namespace()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="millrace-conformance-"))
        self.wire: Wire | None = None
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> Wire:
        self.namespace.__enter__()
        try:
            run = self.namespace.run
            for name, value in self.SYSCTLS.items():
                run(["sysctl", "-qw", f"{name}={value}"])
            link = Tap(self.namespace.name, "mr0")
            self.wire = Wire(link)
            run(["ip", "link", "set", "mr0", "txqueuelen", "10000", "address", "02:00:00:00:00:02", "up"])
            run(["ip", "address", "add", f"{GATEWAY}/16", "dev", "mr0"])
            run(["ip", "address", "add", f"{GATEWAY6}/64", "dev", "mr0"])
            # Per route, since a namespace may not choose a congestion control that its host does not allow to all.
            run(["ip", "route", "change", "198.18.0.0/16", "dev", "mr0", "src", GATEWAY, "congctl", "cubic"])
            run(["ip", "-6", "route", "replace", "2001:db8:18::/64", "dev", "mr0", "congctl", "cubic"])
            run(["ip", "route", "add", "default", "via", ROUTER, "congctl", "cubic"])
            run(["ip", "-6", "route", "add", "default", "via", ROUTER6, "congctl", "cubic"])
            tentative = lambda: "tentative" in self.namespace.output(["ip", "-6", "address", "show", "dev", "mr0"])
            wait_until(lambda: not tentative(), 10, "duplicate address detection")
            config = self.directory / "haproxy.cfg"
            config.write_text(self._config())
            log = open(self.directory / "haproxy.log", "wb")
            self.process = self.namespace.start(["haproxy", "-f", config, "-db"], stdout=log, stderr=log)
            self.namespace.wait_for_port(GATEWAY, 80)
            self.wire.resolve_gateway()
            return self.wire
        except BaseException as error:
            log = self.directory / "haproxy.log"
            if log.exists():
                print(log.read_text())
            self.__exit__(type(error))
            raise

    def __exit__(self, *_) -> None:
        self.namespace.close()
        if self.wire is not None:
            self.wire.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def alive(self) -> bool:
        return self.process.poll() is None

    @staticmethod
    def _config() -> str:
        rules = "".join(f"  use_backend raw{n} if {{ path_beg /raw/{n}/ }}\n" for n in raw_numbers())
        backends = "".join(f"backend raw{n}\n  server s {raw_origin(n)}:{ORIGIN_PORT}\n" for n in raw_numbers())
        return f"""global
  maxconn 8000
  tune.bufsize 16384
  nbthread 1
defaults
  mode http
  retries 0
  timeout connect 30s
  timeout client 120s
  timeout server 120s
  timeout http-request 120s
  timeout http-keep-alive 120s
frontend front
  bind {GATEWAY}:80 backlog 256
  bind [{GATEWAY6}]:80 backlog 256
{rules}  default_backend origin
backend origin
  server s {ROUTER}:{ORIGIN_PORT}
{backends}"""


SUBJECTS = {"millrace": MillraceSubject, "linux": LinuxSubject}
