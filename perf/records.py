"""What a run has found: records for programs, lines for people, what was left out and what failed.

A record is {case, path, subject, metric, unit, value} and the circumstances that differ within a run (mtu, huge_pages, round)."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

from lab import LabError

UNITS = {"requests_per_second": "1/s", "requests_per_core_second": "1/s", "requests_per_process_second": "1/s",
         "connections_per_second": "1/s", "busy_cycles_per_request": "TSC cycles", "gbit_per_second": "Gbit/s", "p50_us": "us",
         "p90_us": "us", "p99_us": "us", "p999_us": "us", "errors": "count", "core_busy_share": "1", "core_softirq_share": "1",
         "core_foreign_share": "1", "load_softirq_share": "1", "resident_bytes": "bytes", "resident_bytes_at_start": "bytes",
         "resident_bytes_per_connection": "bytes", "connections": "count", "requests_under_way": "count",
         "heap_bytes_per_connection": "bytes", "server_us": "us", "bare_server_us": "us", "nanoseconds": "ns", "nanoseconds_any": "ns", "build_ms": "ms",
         "index_bytes": "bytes", "allocations": "count", "clusters": "count", "endpoints": "count", "virtual_hosts": "count",
         "load_seconds": "s", "agent_cpu_seconds": "s", "agent_cpu_ms_per_change": "ms", "resident_bytes_per_cluster": "bytes", "heap_bytes_per_cluster": "bytes",
         "longest_turn_us": "us", "longest_turn_us_all": "us", "longest_turn_us_quiet": "us"}

# A table's columns: heading, metric, format.
COLUMNS = [("requests/s", "requests_per_second", "{:,.0f}"), ("per core-s", "requests_per_core_second", "{:,.0f}"),
           ("per proc-s", "requests_per_process_second", "{:,.0f}"), ("cycles/rq", "busy_cycles_per_request", "{:,.0f}"),
           ("cycles/B", "busy_cycles_per_byte", "{:.2f}"), ("Gbit/s", "gbit_per_second", "{:.3f}"), ("p50 us", "p50_us", "{:,.0f}"),
           ("p99 us", "p99_us", "{:,.0f}"), ("p99.9 us", "p999_us", "{:,.0f}")]


def heading() -> str:
    return f"{'case':<20} {'path':<6} {'subject':<8} {'mtu':>5}" + "".join(f" {title:>10}" for title, _, _ in COLUMNS)


def line(case: str, path: str, subject: str, mtu: int, metrics: dict) -> str:
    cells = [form.format(metrics[metric]) if metric in metrics else "" for _, metric, form in COLUMNS]
    return f"{case:<20} {path:<6} {subject:<8} {mtu:>5}" + "".join(f" {cell:>10}" for cell in cells)


class Results:
    def __init__(self, settings: dict):
        self.settings = settings
        self.records: list[dict] = []
        self.series: list[dict] = []    # {case, path, subject, metric, unit, points: [[seconds, value], ...]}
        self.left_out: list[dict] = []  # {case, reason}: what this machine or this build cannot do
        self.failures: list[str] = []

    def add(self, case: str, path: str, subject: str, metrics: dict, **circumstances) -> None:
        self.add_records([{"case": case, "path": path, "subject": subject, "metric": metric, "unit": UNITS[metric], "value": value}
                          for metric, value in metrics.items()], **circumstances)

    def add_records(self, records: list[dict], **circumstances) -> None:
        self.records += [record | circumstances for record in records]

    def leave_out(self, case: str, reason: str) -> None:
        self.left_out.append({"case": case, "reason": reason})
        print(f"{case}: left out: {reason}", flush=True)

    def fail(self, case: str, reason: str) -> None:
        self.failures.append(f"{case}: {reason}")
        print(f"{case}: FAILED: {reason}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def case(self, name: str):
        """What goes wrong inside fails the case, and with it the run, which goes on to the next case."""
        try:
            yield
        except (LabError, subprocess.SubprocessError, OSError) as error:
            self.fail(name, str(error))

    def document(self) -> dict:
        return {"machine": machine(), "commit": commit(), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "settings": self.settings, "records": self.records, "series": self.series, "left_out": self.left_out,
                "failures": self.failures}

    def write(self, path: pathlib.Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.document(), indent=1) + "\n")


def machine() -> dict:
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"cpu": model.group(1) if model else platform.processor(), "cpus": len(os.sched_getaffinity(0)),
            "kernel": platform.release()}


def commit() -> str:
    """Of the working tree; with "+" where it has changes."""
    here = pathlib.Path(__file__).resolve().parent
    git = lambda *arguments: subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True).stdout.strip()
    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
