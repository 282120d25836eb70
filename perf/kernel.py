"""The part of the suite with a kernel in it: a real client (wrk) and a real origin (nginx) on one core, the subject on another.

The client and the origin are in a namespace of their own. Millrace has a TAP into it, or takes its end of a veth by AF_XDP; the
peers have the same veth, with the kernel's stack. Packets are received on the core of whom they are for, so that a core's time is
its subject's: see `receive_on` and `Accounts`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import re
import statistics
import tempfile

import peers
import records
from gateway_config import bootstrap
from lab import GATEWAY, HOST, Gateway, LabError, Namespace, static_cluster, wait_until
from machine import core_time, other_cpu, pin, process_seconds, subject_and_load_cpu
from tls_files import TlsFiles

ORIGIN_PORT = 8000
CONNECTIONS = 64
LOAD_END, SUBJECT_END = "mr0", "gw0"
MOST_FOREIGN = 0.05  # of a core's time, without a remark

ORIGIN_CONFIG = """
user root;
daemon off;
worker_processes 1;
pid {directory}/origin.pid;
error_log {directory}/origin-error.log;
events {{ worker_connections 10000; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  open_file_cache max=16;
  sendfile on;
  server {{
    listen {host}:{port} backlog=4096 {tls};
    root {directory};
    {certificates}
  }}
}}
"""
ORIGIN_TLS = """ssl_certificate {chain}; ssl_certificate_key {key}; ssl_client_certificate {authority}; ssl_verify_client on;
    ssl_protocols TLSv1.3; ssl_session_tickets on;"""
AF_XDP = """workers: {{count: 1, idle: ADAPTIVE}}
ports:
- name: edge
  af_xdp: {{interface: {interface}, netns: {netns}}}
  addresses: [{gateway}/24]
"""


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    body_bytes: int
    keep_alive: bool
    tls: bool = False  # of the client, and mutual TLS with the origin; TLS 1.3, ECDSA P-256


CASES = [Case("http1-keepalive-64", 64, True), Case("http1-keepalive-1k", 1024, True),
         Case("http1-bulk-64k", 64 * 1024, True), Case("http1-close-64", 64, False)]
TLS_CASES = [Case("tls-keepalive-1k", 1024, True, tls=True), Case("tls-bulk-64k", 64 * 1024, True, tls=True),
             Case("tls-close-64", 64, False, tls=True)]


@dataclasses.dataclass
class Running:
    """A subject that serves, and who loads it."""

    load: Namespace
    pids: list[int]  # its processes, and the kernel's thread that receives for it
    core: int
    load_core: int
    gateway: Gateway | None = None

    def circumstances(self) -> dict:
        """What belongs into each record."""
        huge = {"huge_pages": json.loads(self.gateway.admin("/millrace/nic"))["huge_pages"]} if self.gateway else {}
        return {"mtu": 1500} | huge

    def busy_cycles(self) -> int:
        return self.gateway.stats("busy_cycles")["millrace.worker.0.busy_cycles"] if self.gateway else 0


class Accounts:
    """What a measurement cost: the time of the subject's core, whoever spent it, and of the subject's process, beside."""

    def __init__(self, running: Running):
        self.running = running
        self.before = self._read()

    def _read(self) -> tuple:
        r = self.running
        return core_time(r.core), sum(map(process_seconds, r.pids)), core_time(r.load_core), r.busy_cycles()

    def metrics(self, requests: int) -> dict:
        now = self._read()
        core, process, load, cycles = (after - before for after, before in zip(now, self.before))
        busy = max(core.busy, 0.01)
        metrics = {"requests_per_core_second": round(requests / busy), "requests_per_process_second": round(requests / max(process, 0.01)),
                   "core_softirq_share": round(core.interrupt / busy, 3),
                   # Neither the subject's nor interrupts: others on its core. What is large voids the comparison.
                   "core_foreign_share": round(max(core.process - process, 0) / busy, 3),
                   "load_softirq_share": round(load.interrupt / max(load.busy, 0.01), 3)}
        if self.running.gateway:
            metrics["busy_cycles_per_request"] = round(cycles / max(requests, 1))
        return metrics


def steer(namespace: Namespace, interface: str, cpu: int) -> None:
    """What arrives at the interface is worked on by this CPU, in softirqs (receive packet steering)."""
    namespace.run(["sh", "-c", f"echo {1 << cpu:x} > /sys/class/net/{interface}/queues/rx-0/rps_cpus"])


def receive_threads() -> set[int]:
    """The kernel's threads that receive at a subject's end of a veth; in whatever namespace."""
    found = set()
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().startswith(f"napi/{SUBJECT_END}-"):
                found.add(int(process.name))
    return found


def receive_on(subject: Namespace, cpu: int) -> int:
    """A thread of the kernel receives at the subject's end of the veth, on the subject's core: a veth receives where its other
    end sends, else, and AF_XDP comes before any steering. Returns the thread."""
    before = receive_threads()
    subject.run(["ethtool", "-K", SUBJECT_END, "gro", "on"], capture_output=True)  # as NICs do; a veth without has nothing to run
    subject.run(["sh", "-c", f"echo 1 > /sys/class/net/{SUBJECT_END}/threaded"])
    threads = wait_until(lambda: receive_threads() - before, 5, f"a receive thread of {SUBJECT_END}")
    for thread in threads:
        pin(thread, cpu)
    return threads.pop()


def start_origin(namespace: Namespace, directory: pathlib.Path, cpu: int, tls: TlsFiles | None) -> None:
    for case in CASES:
        (directory / f"body-{case.body_bytes}").write_bytes(b"x" * case.body_bytes)
    config = directory / "origin.conf"
    certificates = ORIGIN_TLS.format(chain=tls.origin[0], key=tls.origin[1], authority=tls.authority.certificate) if tls else ""
    config.write_text(ORIGIN_CONFIG.format(directory=directory, host=HOST, port=ORIGIN_PORT, tls="ssl" if tls else "",
                                           certificates=certificates))
    origin = namespace.start(["taskset", "-c", str(cpu), "nginx", "-c", str(config), "-p", str(directory)])
    namespace.wait_for_port(HOST, ORIGIN_PORT)
    pin(origin.pid, cpu)


def make_veth(load: Namespace, subject: Namespace) -> None:
    """One queue at each end. The load's end computes its checksums itself, as a wire would have them: AF_XDP would show packets
    without, and what AF_XDP gets the peers get, too."""
    load.run(["ip", "link", "add", LOAD_END, "numtxqueues", "1", "numrxqueues", "1", "type", "veth", "peer", "name", SUBJECT_END,
              "netns", subject.name, "numtxqueues", "1", "numrxqueues", "1"])
    load.run(["ethtool", "-K", LOAD_END, "tx", "off"], capture_output=True)
    subject.run(["ip", "link", "set", SUBJECT_END, "up"])


def tls_files(case: Case, directory: pathlib.Path) -> TlsFiles | None:
    directory.chmod(0o755)
    return TlsFiles(directory / "tls") if case.tls else None


def gateway_text(tls: TlsFiles | None) -> str:
    cluster = static_cluster("origin", [(HOST, ORIGIN_PORT)], tls.upstream() if tls else "")
    return bootstrap([(GATEWAY, 443 if tls else 80)], cluster, tls.downstream(client_certificates=False) if tls else "")


def gateway_running(load: Namespace, gateway: Gateway, directory: pathlib.Path, tls: TlsFiles | None) -> Running:
    core = gateway.stats("core")["millrace.worker.0.core"]
    running = Running(load, [gateway.process.pid], core, other_cpu(core), gateway)
    steer(load, LOAD_END, running.load_core)
    start_origin(load, directory, running.load_core, tls)
    return running


@contextlib.contextmanager
def millrace_on_tap(case: Case, directory: pathlib.Path):
    tls = tls_files(case, directory)
    with Namespace() as load, Gateway(load, gateway_text(tls), interface=LOAD_END, host_addresses=[f"{HOST}/24"],
                                      arguments=["-l", "warning"]) as gateway:
        yield gateway_running(load, gateway, directory, tls)


@contextlib.contextmanager
def millrace_on_af_xdp(case: Case, directory: pathlib.Path):
    tls = tls_files(case, directory)
    with Namespace() as load, Namespace() as subject:
        make_veth(load, subject)
        dataplane = AF_XDP.format(interface=SUBJECT_END, netns=subject.name, gateway=GATEWAY)
        with Gateway(load, gateway_text(tls), interface=LOAD_END, dataplane=dataplane, host_addresses=[f"{HOST}/24"],
                     arguments=["-l", "warning"]) as gateway:
            running = gateway_running(load, gateway, directory, tls)
            running.pids.append(receive_on(subject, running.core))
            yield running


def peer_on_veth(name: str):
    @contextlib.contextmanager
    def start(case: Case, directory: pathlib.Path):
        tls = tls_files(case, directory)
        core, load_core = subject_and_load_cpu()
        with Namespace() as load, Namespace() as subject:
            make_veth(load, subject)
            load.attach_interface(LOAD_END, [f"{HOST}/24"])
            subject.attach_interface(SUBJECT_END, [f"{GATEWAY}/24"])
            steer(load, LOAD_END, load_core)
            receiver = receive_on(subject, core)
            start_origin(load, directory, load_core, tls)
            process = subject.start(["taskset", "-c", str(core), *peers.command(name, directory, GATEWAY, HOST, ORIGIN_PORT, tls)])
            subject.wait_for_port(GATEWAY, 443 if tls else 80)
            yield Running(load, [process.pid, receiver], core, load_core)
    return start


def parse_wrk(text: str) -> dict:
    """Figures of one run of wrk with --latency; every kind of error counts."""
    found = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", text)
    if not found or int(found.group(1)) == 0:
        raise LabError(f"no request was answered:\n{text}")
    microseconds = {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}
    requests, duration, unit = found.groups()
    figures = {"requests": int(requests), "seconds": float(duration) * microseconds[unit] / 1e6}
    for percent, metric in (("50%", "p50_us"), ("90%", "p90_us"), ("99%", "p99_us")):
        quantile = re.search(rf"^\s+{percent}\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
        if not quantile:
            raise LabError(f"wrk tells no latency:\n{text}")
        figures[metric] = round(float(quantile.group(1)) * microseconds[quantile.group(2)])
    figures["errors"] = sum(int(n) for line in re.findall(r"Socket errors: (.*)", text) for n in re.findall(r"\d+", line))
    figures["errors"] += sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    return figures


def run_wrk(running: Running, case: Case, seconds: float) -> dict:
    close = [] if case.keep_alive else ["-H", "Connection: close"]
    text = running.load.output(["taskset", "-c", str(running.load_core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s",
                                "--latency", "--timeout", "10s", *close, f"{'https' if case.tls else 'http'}://{GATEWAY}/body-{case.body_bytes}"],
                               timeout=seconds * 3 + 60)
    return parse_wrk(text)


def measure(running: Running, case: Case, seconds: float) -> dict:
    run_wrk(running, case, 1)  # warm-up: connections, caches
    accounts = Accounts(running)
    figures = run_wrk(running, case, seconds)
    metrics = accounts.metrics(figures["requests"])
    if figures["errors"]:
        raise LabError(f"{figures['errors']} errors in {figures['requests']} requests")
    rate = figures["requests"] / figures["seconds"]
    return {"requests_per_second": round(rate), **metrics, "p50_us": figures["p50_us"], "p90_us": figures["p90_us"],
            "p99_us": figures["p99_us"], "gbit_per_second": round(rate * case.body_bytes * 8 / 1e9, 3), "errors": 0}


def run(cases: list[Case], paths: list[str], options, results: records.Results) -> None:
    """In each round every subject after the other, so that what is compared was measured within seconds of each other."""
    subjects = [("millrace", path, start) for path, start in (("af_xdp", millrace_on_af_xdp), ("tap", millrace_on_tap)) if path in paths]
    for name in peers.NAMES:
        if peers.available(name):
            subjects.append((name, "veth", peer_on_veth(name)))
        else:
            results.leave_out(name, "not installed")
    for case in cases:
        per_core: dict[tuple[str, str], list[float | None]] = {}
        for number in range(1, options.rounds + 1):
            for subject, path, start in subjects:
                rates = per_core.setdefault((subject, path), [])
                rates.append(None)
                with results.case(f"{case.name}, {subject} on {path}"), tempfile.TemporaryDirectory() as directory, \
                        start(case, pathlib.Path(directory)) as running:
                    metrics = measure(running, case, options.seconds)
                    results.add(case.name, path, subject, metrics, round=number, **running.circumstances())
                    rates[-1] = metrics["requests_per_core_second"]
                    print(records.line(case.name, path, subject, 1500, metrics) + remark(metrics), flush=True)
        compare(case, per_core, results)


def remark(metrics: dict) -> str:
    foreign = metrics["core_foreign_share"]
    return f"  others took {foreign:.0%} of its core" if foreign > MOST_FOREIGN else ""


def compare(case: Case, per_core: dict[tuple[str, str], list[float | None]], results: records.Results) -> None:
    """Millrace's requests per second of its core relative to each peer's: the median of the rounds' ratios."""
    for (subject, path), ours in per_core.items():
        if subject != "millrace":
            continue
        for (peer, _), theirs in per_core.items():
            ratios = [a / b for a, b in zip(ours, theirs) if a and b]
            if peer == "millrace" or not ratios:
                continue
            ratio = round(statistics.median(ratios), 3)
            results.add_records([{"case": case.name, "path": path, "subject": "millrace", "metric": f"ratio_to_{peer}", "unit": "1",
                                  "value": ratio}], mtu=1500)
            print(f"{'':<20} {path}: {ratio:.2f} of {peer}'s requests per core-second ({len(ratios)} pairs, "
                  f"{min(ratios):.2f} to {max(ratios):.2f})", flush=True)
