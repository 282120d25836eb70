"""What connections cost in memory: in the gateway's resident size over memif, and on the heap of a simulated stack.

Idle: kept alive, a request on each of them every ten seconds. Active: a request under way on each of them all the time. Packets
come from ordinary pages here, so that they are in the resident size, too."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import subprocess

import records
from gateway_config import bootstrap
from lab import LabError
from memif import MemifLab
from sampler import EDGE, RESIDENT, Sampler

IDLE_LIMIT_BYTES = 2048       # of an idle connection, among many: the goal
IDLE_LIMIT_FROM = 100_000     # connections; among fewer, what is there at the first request weighs more
BETWEEN_REQUESTS_SECONDS = 10
OPENED_PER_SECOND = 20_000
BUFFERS = 98_304


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    connections: int
    active: bool = False
    tls: str = ""  # as in MemifCase


# A worker lets 2,048 requests wait for an origin or be under way with it.
CASES = [Case("memory-idle-10000", 10_000), Case("memory-idle-60000", 60_000), Case("memory-idle-100000", 100_000),
         Case("memory-active-1000", 1_000, active=True), Case("memory-active-2000", 2_000, active=True)]
TLS_CASES = [Case("tls-memory-idle-10000", 10_000, tls="edge")]
HANDSHAKES_PER_SECOND = 250
TLS_LIMIT_BYTES = 8 * 1024  # of an established idle connection: the goal
SIMULATED = Case("memory-idle-million", 1_000_000)


def measure(case: Case, options, millload: pathlib.Path, results: records.Results) -> None:
    with MemifLab(bootstrap, millload, buffers=BUFFERS, huge_pages="NEVER", tls=case.tls) as lab:
        at_start = lab.gateway.stats("^server")[RESIDENT]
        opened = HANDSHAKES_PER_SECOND if case.tls else OPENED_PER_SECOND
        arguments = ["--connections", str(case.connections), "--ramp", str(case.connections / opened)]
        warm_up = 1.0
        if not case.active:
            arguments += ["--rate", str(case.connections / BETWEEN_REQUESTS_SECONDS)]
            warm_up += BETWEEN_REQUESTS_SECONDS  # least recently used first: each has had one by then
        try:
            with Sampler(lab.gateway, 0.5) as sampler:
                metrics = lab.run(case.name, *arguments, seconds=options.seconds, warm_up=warm_up, timeout=options.seconds + 180)
        except LabError as error:
            refused = {name: value for name, value in lab.gateway.stats("overflow").items() if value}
            raise LabError(f"{error}; what the gateway refused: {refused or 'nothing'}") from error
        served = sum(value for name, value in lab.gateway.stats("downstream_rq_2xx").items())
        check(case, metrics, sampler, served)
        resident = int(metrics["resident_bytes"])
        each = round((resident - at_start) / case.connections)
        keep = ("requests_per_second", "p50_us", "p99_us", "p999_us", "errors", "requests_per_core_second", "busy_cycles_per_request")
        results.add_records([record for record in metrics["records"] if record["metric"] in keep], **lab.circumstances())
        results.add(case.name, "memif", "millrace",
                    {"connections": case.connections, "requests_under_way": sampler.most(EDGE + "downstream_rq_active"),
                     "resident_bytes_at_start": at_start, "resident_bytes": resident, "resident_bytes_per_connection": each},
                    **lab.circumstances())
        print(f"{case.name:<20} {each:,} bytes resident per connection ({at_start / 2**20:,.0f} MiB at the start, {resident / 2**20:,.0f} MiB "
              f"with them), {metrics['requests_per_second']:,.0f} requests/s, p99 {metrics['p99_us']:,.0f} us", flush=True)
        limit = TLS_LIMIT_BYTES if case.tls else IDLE_LIMIT_BYTES if case.connections >= IDLE_LIMIT_FROM else each
        if not case.active and each > limit:
            results.fail(case.name, f"{each:,} bytes per idle connection are more than {limit:,}")


def check(case: Case, metrics: dict, sampler: Sampler, served: int) -> None:
    """That all connections were there at the same time, and that each was served."""
    together = sampler.most(EDGE + "downstream_cx_active")
    if metrics["errors"] or together < case.connections:
        raise LabError(f"{together:,} of {case.connections:,} connections at a time, {metrics['errors']:.0f} refused or broken")
    if served < case.connections:
        raise LabError(f"only {served:,} requests on {case.connections:,} connections")


def simulate(program: pathlib.Path, results: records.Results) -> None:
    """A million idle connections between two stacks in virtual time."""
    if not program.exists():
        return results.leave_out(SIMULATED.name, f"{program} is not built: cmake --build --preset dev --target idle_memory")
    done = subprocess.run([program, "--connections", str(SIMULATED.connections)], capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        raise LabError(f"{program.name} ended with {done.returncode}: {done.stderr}")
    for side, bytes_each in re.findall(r"^(client|server)\s+(\d+)", done.stdout, re.MULTILINE):
        results.add(f"{SIMULATED.name}-{side}", "simulator", "millrace",
                    {"connections": SIMULATED.connections, "heap_bytes_per_connection": int(bytes_each)})
        print(f"{SIMULATED.name:<20} {int(bytes_each):,} bytes of heap per connection on the {side}'s side", flush=True)


def run(cases: list[Case], options, millload: pathlib.Path, results: records.Results) -> None:
    for case in cases:
        with results.case(case.name):
            measure(case, options, millload, results)
