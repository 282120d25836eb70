"""Runs clang-tidy over every source that the build knows, and remembers what was clean.

    run_clang_tidy.py ROOT BUILD [FILE...]

A file takes ten seconds or more, most of it for the headers it includes, so a verdict is kept in BUILD/lint until the file, one
of the project's headers it includes (as the last build saw them), its compiler flags, or .clang-tidy changes.
Exit status: 1 when anything was found.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

CLANG_TIDY = "clang-tidy-19"
NOISE = re.compile(r"warnings generated|^Suppressed|^Use -header-filter|^\s*$")


def dependencies(root: pathlib.Path, build: pathlib.Path) -> dict[str, list[str]]:
    """The project's own files that each object was built from, by object: what ninja noted at the last build."""
    listing = subprocess.run(["ninja", "-C", str(build), "-t", "deps"], capture_output=True, text=True, check=False).stdout
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in listing.splitlines():
        if line.startswith("    "):
            path = os.path.normpath(os.path.join(build, line.strip()))
            if path.startswith(f"{root}/") and not path.startswith(f"{build}/"):
                current.append(path)
        elif ":" in line:
            current = found.setdefault(line.split(":", 1)[0], [])
    return found


def object_of(entry: dict) -> str:
    words = shlex.split(entry["command"])
    return words[words.index("-o") + 1]


def key_of(entry: dict, files: list[str], settings: bytes) -> str:
    digest = hashlib.sha256(settings + entry["command"].encode())
    for path in sorted({entry["file"], *files}):
        digest.update(path.encode())
        if os.path.exists(path):
            digest.update(pathlib.Path(path).read_bytes())
    return digest.hexdigest()


def check(build: pathlib.Path, source: str) -> str:
    """What clang-tidy has to say about a file; empty when nothing."""
    run = subprocess.run(
        [CLANG_TIDY, "-p", str(build), "--quiet", "--warnings-as-errors=*", source], capture_output=True, text=True, check=False
    )
    said = [line for line in (run.stdout + run.stderr).splitlines() if not NOISE.search(line)]
    if run.returncode == 0:
        return ""
    return "\n".join(said) or f"{source}: {CLANG_TIDY} ended with {run.returncode} and said nothing"


def main() -> int:
    root, build = (pathlib.Path(path).resolve() for path in sys.argv[1:3])
    only = {str(pathlib.Path(path).resolve()) for path in sys.argv[3:]}
    settings = (root / ".clang-tidy").read_bytes()
    verdicts = build / "lint"
    verdicts.mkdir(exist_ok=True)
    built_from = dependencies(root, build)
    waiting = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
        if not source.startswith(f"{root}/") or source.startswith(f"{root}/build/") or (only and source not in only):
            continue
        verdict = verdicts / key_of(entry, built_from.get(object_of(entry), []), settings)
        if not verdict.exists():
            waiting[source] = verdict
    found = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {pool.submit(check, build, source): source for source in waiting}
        for done, run in enumerate(concurrent.futures.as_completed(runs), 1):
            source, said = runs[run], run.result()
            if said:
                found += 1
                print(said, flush=True)
            else:
                waiting[source].touch()
            print(f"[{done}/{len(waiting)}] {os.path.relpath(source, root)}", file=sys.stderr, flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
