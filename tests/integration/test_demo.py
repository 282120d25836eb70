"""`./dev demo --once` ends with 0: the Bookinfo demo, with this build's gateway."""

import subprocess

from conftest import ROOT


def test_demo_once_ends_well():
    done = subprocess.run([ROOT / "deploy" / "demo" / "run", "--once"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All as it should be." in done.stdout
    assert "FAIL" not in done.stdout
