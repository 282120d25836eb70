"""Results files as tables: the pure part of perf/report. A figure of several rounds is their median."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics


@dataclasses.dataclass(frozen=True)
class Key:
    """One measurement: what is the same in all its rounds and metrics."""

    case: str
    path: str
    subject: str
    mtu: int  # 0: there are no packets

    @property
    def label(self) -> str:
        return self.case + (f", mtu {self.mtu}" if self.mtu not in (0, 1500) else "")


class ResultsFile:
    """The document that `bench --json` writes; older ones, without mtu and rounds, too."""

    def __init__(self, name: str, document: dict):
        self.name, self.document = name, document
        self.series: list[dict] = document.get("series", [])
        found: dict[Key, dict[str, list[float]]] = {}
        for record in document["records"]:
            mtu = record.get("mtu") or (1500 if record["path"] not in ("micro", "simulator") else 0)
            metrics = found.setdefault(Key(record["case"], record["path"], record["subject"], mtu), {})
            metrics.setdefault(record["metric"], []).append(record["value"])
        self.measurements = {key: {metric: statistics.median(values) for metric, values in metrics.items()}
                             for key, metrics in found.items()}

    @classmethod
    def load(cls, path: pathlib.Path) -> "ResultsFile":
        document = json.loads(path.read_text())
        if not isinstance(document, dict) or "records" not in document:
            raise ValueError(f"{path} is no results file: it has no records; perf/bench --json writes one")
        return cls(path.stem, document)

    def select(self, *paths: str, metric: str) -> dict[Key, dict[str, float]]:
        return {key: metrics for key, metrics in self.measurements.items() if key.path in paths and metric in metrics}

    @property
    def summary(self) -> str:
        machine = self.document.get("machine", {})
        return (f"{machine.get('cpu', 'an unknown CPU')}, {machine.get('cpus', '?')} CPUs, Linux {machine.get('kernel', '?')}; "
                f"commit {self.document.get('commit', '?')}, {self.document.get('time', '?')}")


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [headings, ["---"] * len(headings), *rows]) + "\n"


def number(metrics: dict[str, float], metric: str, form: str = "{:,.0f}", scale: float = 1) -> str:
    return form.format(metrics[metric] * scale) if metric in metrics else ""


def latency(metrics: dict[str, float], metric: str) -> str:
    """Microseconds; three digits of what is small."""
    if metric not in metrics:
        return ""
    return f"{metrics[metric]:,.0f}" if metrics[metric] >= 100 else f"{metrics[metric]:.1f}"


def throughput_table(results: ResultsFile) -> str:
    rows = []
    for key, metrics in results.select("memif", metric="busy_cycles_per_request").items():
        if is_latency(key) or is_memory(key):
            continue
        rows.append([key.label, number(metrics, "requests_per_second"), number(metrics, "requests_per_core_second"),
                     number(metrics, "busy_cycles_per_request"), number(metrics, "busy_cycles_per_byte", "{:.2f}"),
                     number(metrics, "gbit_per_second", "{:.2f}"), number(metrics, "gateway_busy_share", "{:.0f} %", 100),
                     latency(metrics, "p99_us")])
    return table(["case", "requests/s", "per core-second", "busy cycles per request", "per byte", "Gbit/s", "worker busy", "p99 us"],
                 rows) if rows else ""


def latency_table(results: ResultsFile) -> str:
    metrics_shown = ["p50_us", "p99_us", "p999_us", "undisturbed_p99_us", "undisturbed_p999_us"]
    rows = [[key.label, number(metrics, "requests_per_second"), *(latency(metrics, metric) for metric in metrics_shown),
             number(metrics, "generator_gaps")]
            for key, metrics in results.select("memif", metric="p99_us").items() if is_latency(key)]
    return table(["half load", "requests/s", "p50 us", "p99 us", "p99.9 us", "p99 us without gaps", "p99.9 us without gaps", "gaps"],
                 rows) if rows else ""


def comparison_table(results: ResultsFile) -> str:
    measured = results.select("af_xdp", "tap", "veth", metric="requests_per_core_second")
    peers = sorted({metric.removeprefix("ratio_to_") for metrics in results.measurements.values() for metric in metrics
                    if metric.startswith("ratio_to_")})
    rows = [[key.label, f"{key.subject} ({key.path})", number(metrics, "requests_per_second"), number(metrics, "requests_per_core_second"),
             number(metrics, "requests_per_process_second"), number(metrics, "core_softirq_share", "{:.0f} %", 100),
             latency(metrics, "p99_us"), *(number(metrics, f"ratio_to_{peer}", "{:.2f}") for peer in peers)]
            for key, metrics in sorted(measured.items(), key=lambda item: case_order(results, item[0]))]
    return table(["case", "subject", "requests/s", "per core-second", "per process-second", "interrupts", "p99 us",
                  *(f"of {peer}'s" for peer in peers)], rows) if rows else ""


def case_order(results: ResultsFile, key: Key) -> tuple:
    """As measured, but with all subjects of a case together."""
    cases = [other.case for other in results.measurements]
    return cases.index(key.case), list(results.measurements).index(key)


def memory_table(results: ResultsFile) -> str:
    rows = [[key.label, number(metrics, "connections"), number(metrics, "resident_bytes_per_connection"),
             number(metrics, "resident_bytes", "{:,.0f}", 2**-20), number(metrics, "requests_per_second"), latency(metrics, "p99_us")]
            for key, metrics in results.select("memif", metric="resident_bytes_per_connection").items()]
    rows += [[key.label, number(metrics, "connections"), number(metrics, "heap_bytes_per_connection"), "", "", ""]
             for key, metrics in results.select("simulator", metric="heap_bytes_per_connection").items()]
    return table(["case", "connections", "bytes per connection", "resident MiB", "requests/s", "p99 us"], rows) if rows else ""


def soak_table(results: ResultsFile) -> str:
    rows = [[number(metrics, "requests_per_second"), number(metrics, "connections_per_second"),
             *(number(metrics, f"resident_bytes_{when}", "{:,.1f}", 2**-20) for when in ("at_start", "second_quarter", "last_quarter"))]
            for metrics in results.select("memif", metric="resident_bytes_last_quarter").values()]
    return table(["requests/s", "connections/s", "resident MiB at the start", "second quarter", "last quarter"], rows) if rows else ""


def micro_table(results: ResultsFile) -> str:
    rows = [[key.case.removeprefix("micro-"), number(metrics, "nanoseconds", "{:,.1f}"), number(metrics, "allocations", "{:g}")]
            for key, metrics in results.select("micro", metric="nanoseconds").items()]
    return table(["operation", "ns", "allocations"], rows) if rows else ""


def is_latency(key: Key) -> bool:
    return "-latency-" in key.case


def is_memory(key: Key) -> bool:
    return key.case.startswith("memory-")


SECTIONS = [("Over memif", throughput_table), ("Latency at half load, over memif", latency_table),
            ("Beside other proxies", comparison_table), ("Memory", memory_table), ("Soak", soak_table),
            ("Micro-benchmarks", micro_table)]


def page(files: list[ResultsFile], plots: dict[str, list[str]]) -> str:
    """Markdown of all files; `plots` are names of pictures by section."""
    text = "# Measurements\n"
    for title, tables in SECTIONS:
        parts = [(results, tables(results)) for results in files]
        if not any(part for _, part in parts):
            continue
        text += f"\n## {title}\n\n" + "".join(f"![{title}]({name})\n\n" for name in plots.get(title, []))
        text += "\n".join(f"{results.name}: {results.summary}.\n\n{part}" for results, part in parts if part)
    for results in files:
        problems = [f"- failed: {text}" for text in results.document.get("failures", [])]
        problems += [f"- left out: {entry['case']}: {entry['reason']}" for entry in results.document.get("left_out", [])]
        if problems:
            text += f"\n## Not measured in {results.name}\n\n" + "\n".join(problems) + "\n"
    return text
