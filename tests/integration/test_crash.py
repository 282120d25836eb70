"""What a crash leaves behind."""

import os
import pathlib
import resource
import signal
import subprocess

import pytest

from lab import Gateway, Namespace, wait_until


def test_a_crash_prints_version_signal_and_backtrace():
    with Namespace() as namespace, Gateway(namespace, "static_resources: {}\n") as gateway:
        gateway.signal(signal.SIGSEGV)
        assert gateway.process.wait(20) == -signal.SIGSEGV
        text = gateway.log_text()
        assert "millrace version: " in text and "crashed: SEGV" in text
        assert "backtrace" in text and "main" in text.split("backtrace", 1)[1]


@pytest.mark.parametrize("arguments, dumps", [([], False), (["--enable-core-dump"], True)])
def test_a_core_dump_which_holds_private_keys_is_written_only_when_asked_for(arguments, dumps, tmp_path):
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text()
    if dumps and (pattern.startswith("|") or "/" in pattern):
        pytest.skip("core dumps of this machine do not go into the working directory")

    def at_home():
        os.chdir(tmp_path)
        resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))  # its beginning is enough
    # AddressSanitizer would see to it that there is no dump.
    environment = os.environ | {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:disable_coredump=0"}
    with Namespace() as namespace:
        gateway = Gateway(namespace, "static_resources: {}\n", arguments=arguments)
        with open(tmp_path / "log", "wb") as log:
            gateway.process = subprocess.Popen(gateway.command(), preexec_fn=at_home, stdout=log, stderr=log, env=environment)
        namespace.attach_interface(gateway.interface, gateway.host_addresses)
        wait_until(gateway._is_ready, 60, "the gateway's /ready")
        gateway.signal(signal.SIGSEGV)
        _, status = os.waitpid(gateway.process.pid, 0)
        gateway.process.returncode = -os.WTERMSIG(status)
        gateway.close()
    assert os.WCOREDUMP(status) == dumps
