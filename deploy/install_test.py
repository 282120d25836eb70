#!/usr/bin/env python3
"""Installs the build into an empty directory and lets the installed gateway validate the installed example.

usage: install_test.py CMAKE BUILD_DIR
"""

import pathlib
import subprocess
import sys
import tempfile


def main():
    cmake, build = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as folder:
        prefix = pathlib.Path(folder, "usr")
        subprocess.run([cmake, "--install", build, "--component", "gateway", "--prefix", str(prefix)], check=True,
                       stdout=subprocess.DEVNULL)
        examples = prefix / "share/doc/millrace/examples"
        for wanted in ("bin/millrace", "lib/systemd/system/millrace.service", "share/doc/millrace/README.md",
                       "share/doc/millrace/LICENSE", "share/doc/millrace/docs/architecture.md"):
            assert (prefix / wanted).is_file(), f"{wanted} is not installed"
        done = subprocess.run([str(prefix / "bin/millrace"), "--mode", "validate", "-c", str(examples / "bootstrap.yaml"),
                               "--dataplane", str(examples / "dataplane.yaml")], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
        assert "configuration OK" in done.stdout + done.stderr, done.stdout + done.stderr


if __name__ == "__main__":
    main()
