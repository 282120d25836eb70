"""Full load with connections that come and go, for long, and afterwards nothing is left: no buffer, connection, port or memory.

While it lasts, what grows between the second and the last quarter of the time is a leak; afterwards every gauge must be back."""

from __future__ import annotations

import pathlib
import statistics

import records
from gateway_config import bootstrap
from lab import LabError, wait_until
from memif import MemifLab
from sampler import EDGE, RESIDENT, Sampler

NAME = "soak"
DEFAULT_SECONDS = 600
CONNECTIONS, REQUESTS_PER_CONNECTION, BODY_BYTES = 256, 20, 1024
SAMPLE_SECONDS = 1
EXPIRY_SECONDS = 150  # TIME-WAIT takes one minute, an idle connection to the origin goes with its other end

WORKER = "millrace.worker.0."
# What may rise by how much between the quarters: a share of itself, and a number that noise may reach.
FLAT = {RESIDENT: (0.01, 2 * 2**20), WORKER + "packets_in_use": (0.5, 2_000), WORKER + "chain_nodes_in_use": (0.5, 4_000),
        WORKER + "tcp.connections.established": (0.2, 64), WORKER + "proxy.upstream_connections": (0.2, 64),
        WORKER + "tcp.half_open": (0.5, 256), EDGE + "downstream_cx_active": (0.2, 64)}
# What must be nothing again; every connection holds a port, and so does TIME-WAIT.
GONE = ["proxy.requests", "proxy.upstream_connections", "chain_nodes_in_use", "tcp.half_open", "tcp.time_wait", "tcp.bytes_queued"]
# What must never have happened.
NEVER = ["packets_exhausted", "tcp.active_opens_failed", "tcp.segments_without_buffer", "tcp.drop_no_memory"]


def growth(series: list[tuple[float, int]]) -> tuple[float, float]:
    """The medians of the second and of the last quarter of the time; in the first, tables fill."""
    if len(series) < 8:
        raise LabError(f"only {len(series)} samples of the gateway's figures: too few to tell; a soak takes at least 20 s")
    last = series[-1][0]
    quarter = lambda share: [value for at, value in series if share <= at / last * 4 <= share + 1]
    return statistics.median(quarter(1)), statistics.median(quarter(3))


def leaks(samples: Sampler) -> list[str]:
    found = []
    for name, (share, noise) in FLAT.items():
        before, after = growth(samples.series(name))
        if after > before * (1 + share) + noise:
            found.append(f"{name} rose from {before:,.0f} to {after:,.0f}")
    return found


def left_behind(stats: dict, at_start: dict) -> list[str]:
    """Gauges that are not back where they were, each with its value."""
    names = [WORKER + name for name in GONE] + [name for name in stats if name.startswith(WORKER + "tcp.connections.")]
    names += [name for name in stats if name.endswith(("_cx_active", "_rq_active"))]
    found = [f"{name} is {stats[name]:,}" for name in names if stats.get(name, 0) > 0]
    packets = WORKER + "packets_in_use"
    if stats[packets] > at_start[packets] + 64:
        found.append(f"{packets} is {stats[packets]:,}, was {at_start[packets]:,}")
    return found


def run(seconds: float, millload: pathlib.Path, results: records.Results) -> None:
    with MemifLab(bootstrap, millload, huge_pages="NEVER") as lab:
        gateway = lab.gateway
        at_start = gateway.stats()
        with Sampler(gateway, SAMPLE_SECONDS) as sampler:
            metrics = lab.run(NAME, "--connections", str(CONNECTIONS), "--requests-per-connection", str(REQUESTS_PER_CONNECTION),
                              "--response-bytes", str(BODY_BYTES), seconds=seconds, timeout=seconds + 120)
            under_load = [sample for sample in sampler.samples if sample[1].get(EDGE + "downstream_cx_active", 0) > 0]
        sampler.samples = under_load
        problems = leaks(sampler)
        if metrics["errors"]:
            problems.append(f"{metrics['errors']:.0f} connections were refused or broken")
        with_time = {"stats": gateway.stats()}

        def empty() -> bool:
            with_time["stats"] = gateway.stats()
            return not left_behind(with_time["stats"], at_start)

        try:
            wait_until(empty, EXPIRY_SECONDS, "everything is given back", 1)
        except LabError:
            problems += left_behind(with_time["stats"], at_start)
        problems += [f"{name} is {with_time['stats'][WORKER + name]:,}" for name in NEVER if with_time["stats"].get(WORKER + name, 0)]
        if problems:
            raise LabError("; ".join(problems))
        record(metrics, sampler, at_start, lab.circumstances(), results)


def record(metrics: dict, sampler: Sampler, at_start: dict, circumstances: dict, results: records.Results) -> None:
    early, late = growth(sampler.series(RESIDENT))
    results.add_records(metrics["records"], **circumstances)
    results.add_records([{"case": NAME, "path": "memif", "subject": "millrace", "metric": metric, "unit": "bytes", "value": round(value)}
                         for metric, value in (("resident_bytes_at_start", at_start[RESIDENT]), ("resident_bytes_second_quarter", early),
                                               ("resident_bytes_last_quarter", late))], **circumstances)
    for name in (RESIDENT, WORKER + "packets_in_use", WORKER + "tcp.time_wait"):
        points = [[round(at, 1), value] for at, value in sampler.series(name)]
        results.series.append({"case": NAME, "path": "memif", "subject": "millrace", "metric": name,
                               "unit": "bytes" if name == RESIDENT else "count", "points": points[:: max(1, len(points) // 300)]})
    print(records.line(NAME, "memif", "millrace", circumstances["mtu"], metrics), flush=True)
    print(f"{'':<20} {metrics['connections_per_second']:,.0f} connections/s came and went; resident {early / 2**20:,.1f} MiB in the second "
          f"quarter, {late / 2**20:,.1f} MiB in the last; nothing is left", flush=True)
