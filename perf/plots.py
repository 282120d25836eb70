"""Pictures of results files, with matplotlib. Each function draws one, or none where there is nothing to draw."""

from __future__ import annotations

import pathlib

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

from results_page import ResultsFile, is_latency, is_memory  # noqa: E402


def bars(path: pathlib.Path, title: str, unit: str, labels: list[str], groups: dict[str, list[float | None]], *,
         log: bool = False, line: float | None = None) -> bool:
    """A group of bars at each label, one for each entry of `groups`; None: nothing there."""
    groups = {name: values for name, values in groups.items() if any(value is not None for value in values)}
    if not labels or not groups:
        return False
    figure, axes = pyplot.subplots(figsize=(max(6, 1.1 * len(labels) * max(1, len(groups) / 3)), 4.5))
    width = 0.8 / len(groups)
    for number, (name, values) in enumerate(groups.items()):
        at = [i + (number - (len(groups) - 1) / 2) * width for i in range(len(labels))]
        axes.bar(at, [value or 0 for value in values], width, label=name)
    if line is not None:
        axes.axhline(line, color="black", linewidth=0.8, linestyle="--")
    axes.set_xticks(range(len(labels)), labels, rotation=25, ha="right")
    axes.set_ylabel(unit)
    axes.set_title(title)
    if log:
        axes.set_yscale("log")
    if len(groups) > 1:
        axes.legend(fontsize="small")
    return save(figure, path)


def save(figure, path: pathlib.Path) -> bool:
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return True


def by_file(files: list[ResultsFile], metric: str, *paths: str, keep) -> tuple[list[str], dict[str, list[float | None]]]:
    """Labels of all measurements that have the metric, and a group for each file."""
    found = {results.name: {key.label: metrics[metric] for key, metrics in results.select(*paths, metric=metric).items() if keep(key)}
             for results in files}
    labels = list(dict.fromkeys(label for values in found.values() for label in values))
    return labels, {name: [values.get(label) for label in labels] for name, values in found.items()}


def requests_per_core(files: list[ResultsFile], path: pathlib.Path) -> bool:
    labels, groups = by_file(files, "requests_per_core_second", "memif", keep=lambda key: not is_latency(key) and not is_memory(key))
    return bars(path, "Requests per busy second of the worker, over memif", "requests per core-second", labels, groups)


def cycles_per_byte(files: list[ResultsFile], path: pathlib.Path) -> bool:
    labels, groups = by_file(files, "busy_cycles_per_byte", "memif", keep=lambda key: "-bulk-" in key.case or key.case.endswith("-64k"))
    return bars(path, "Busy cycles per byte of body, over memif", "TSC cycles", labels, groups)


def latency(files: list[ResultsFile], path: pathlib.Path) -> bool:
    shown = {"p50": "p50_us", "p99": "p99_us", "p99.9": "p999_us", "p99 without gaps": "undisturbed_p99_us",
             "p99.9 without gaps": "undisturbed_p999_us"}
    measured = [(f"{key.label}\n{results.name}" if len(files) > 1 else key.label, metrics) for results in files
                for key, metrics in results.select("memif", metric="p99_us").items() if is_latency(key)]
    groups = {name: [metrics.get(metric) for _, metrics in measured] for name, metric in shown.items()}
    return bars(path, "Latency at half load, over memif (dashed: the goal, 20 us)", "us", [label for label, _ in measured], groups,
                log=True, line=20)


def comparison(files: list[ResultsFile], path: pathlib.Path) -> bool:
    """The last file that has one."""
    for results in reversed(files):
        measured = results.select("af_xdp", "tap", "veth", metric="requests_per_core_second")
        if not measured:
            continue
        cases = list(dict.fromkeys(key.label for key in measured))
        subjects = list(dict.fromkeys(f"{key.subject} ({key.path})" for key in measured))
        rate = {(key.label, f"{key.subject} ({key.path})"): metrics["requests_per_core_second"] for key, metrics in measured.items()}
        groups = {subject: [rate.get((case, subject)) for case in cases] for subject in subjects}
        return bars(path, f"Requests per second of the subject's core ({results.name})", "requests per core-second", cases, groups)
    return False


def memory(files: list[ResultsFile], path: pathlib.Path) -> bool:
    labels, groups = by_file(files, "resident_bytes_per_connection", "memif", keep=is_memory)
    return bars(path, "Memory of a connection (dashed: the goal of an idle one)", "bytes resident over the start-up size", labels, groups, line=2048)


def soak(files: list[ResultsFile], path: pathlib.Path) -> bool:
    series = [(f"{entry['metric']} ({results.name})" if len(files) > 1 else entry["metric"], entry) for results in files
              for entry in results.series if entry["case"] == "soak"]
    if not series:
        return False
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    counts = axes.twinx()
    for number, (name, entry) in enumerate(series):
        is_bytes = entry["unit"] == "bytes"
        side = axes if is_bytes else counts
        side.plot([at for at, _ in entry["points"]], [value / 2**20 if is_bytes else value for _, value in entry["points"]],
                  label=name, color=f"C{number}")
    axes.set_xlabel("seconds")
    axes.set_ylabel("MiB resident")
    counts.set_ylabel("count")
    for side in (axes, counts):
        side.set_ylim(0, side.get_ylim()[1] * 1.1)
    handles, names = (a + b for a, b in zip(axes.get_legend_handles_labels(), counts.get_legend_handles_labels()))
    axes.legend(handles, names, fontsize="small", loc="lower right")
    axes.set_title("Soak: full load with connections that come and go")
    return save(figure, path)


# By the section of the page in which they stand.
PLOTS = {"Over memif": [("requests-per-core.png", requests_per_core), ("cycles-per-byte.png", cycles_per_byte)],
         "Latency at half load, over memif": [("latency.png", latency)], "Beside other proxies": [("comparison.png", comparison)],
         "Memory": [("memory.png", memory)], "Soak": [("soak.png", soak)]}


def draw(files: list[ResultsFile], directory: pathlib.Path) -> dict[str, list[str]]:
    """Names of what was drawn, by section."""
    return {section: [name for name, plot in plots if plot(files, directory / name)] for section, plots in PLOTS.items()}
