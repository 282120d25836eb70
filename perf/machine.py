"""The machine under the measurements: which cores, what they spent, and its huge pages."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import subprocess

from lab import LabError

TICKS = os.sysconf("SC_CLK_TCK")
HUGE_PAGES = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")


def subject_and_load_cpu() -> tuple[int, int]:
    """Different CPUs; with one CPU both share it, and the record says how many there were."""
    cpus = sorted(os.sched_getaffinity(0))
    return cpus[-1], cpus[0]


def other_cpu(than: int) -> int:
    return next((cpu for cpu in sorted(os.sched_getaffinity(0)) if cpu != than), than)


def children(pid: int) -> list[int]:
    text = "".join(path.read_text() for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(child) for child in text.split()]


def pin(pid: int, cpu: int) -> None:
    """A process with all its threads, and its children."""
    for process in [pid, *children(pid)]:
        subprocess.run(["taskset", "-acp", str(cpu), str(process)], check=True, stdout=subprocess.DEVNULL)


def process_seconds(pid: int) -> float:
    """User and system time of all threads of a process and of its children that still run."""
    total = 0.0
    for process in [pid, *children(pid)]:
        try:
            fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1].split()
        except FileNotFoundError:
            continue
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def thread_seconds(pid: int, name: str) -> float:
    """User and system time of the process's threads whose name begins like that."""
    total = 0.0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith(name):
            fields = (task / "stat").read_text().rsplit(") ", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


@dataclasses.dataclass(frozen=True)
class CoreTime:
    """Seconds that a core has spent; what the hypervisor took is in none of them."""

    process: float  # user, nice and system
    interrupt: float  # irq and softirq

    @property
    def busy(self) -> float:
        return self.process + self.interrupt

    def __sub__(self, before: "CoreTime") -> "CoreTime":
        return CoreTime(self.process - before.process, self.interrupt - before.interrupt)


def parse_core_time(text: str, cpu: int) -> CoreTime:
    """From the text of /proc/stat."""
    line = next(line for line in text.splitlines() if line.startswith(f"cpu{cpu} "))
    user, nice, system, _, _, irq, softirq = map(int, line.split()[1:8])
    return CoreTime((user + nice + system) / TICKS, (irq + softirq) / TICKS)


def core_time(cpu: int) -> CoreTime:
    return parse_core_time(pathlib.Path("/proc/stat").read_text(), cpu)


@contextlib.contextmanager
def huge_pages(megabytes: int):
    """So much memory in free huge pages of 2 MB: reserves what is missing and gives it back at the end."""
    count, free = HUGE_PAGES / "nr_hugepages", HUGE_PAGES / "free_hugepages"
    before = int(count.read_text()) if count.exists() else 0
    missing = megabytes // 2 - (int(free.read_text()) if free.exists() else 0)
    try:
        if missing > 0:
            with contextlib.suppress(OSError):
                count.write_text(str(before + missing))
            if not free.exists() or int(free.read_text()) < megabytes // 2:
                raise LabError(f"{megabytes} MB of huge pages are not to be had: reserve them when the machine starts, or measure on "
                               "ordinary pages with --huge-pages no")
        yield
    finally:
        if missing > 0:
            with contextlib.suppress(OSError):
                count.write_text(str(before))
