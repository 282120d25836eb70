"""What a crash leaves behind."""

import os
import signal
import subprocess

from lab import Gateway, Namespace


def test_a_crash_prints_version_signal_and_backtrace():
    with Namespace() as namespace, Gateway(namespace, "static_resources: {}\n") as gateway:
        gateway.signal(signal.SIGSEGV)
        assert gateway.process.wait(20) == -signal.SIGSEGV
        text = gateway.log_text()
        assert "millrace version: " in text and "crashed: SEGV" in text
        assert "backtrace" in text and "main" in text.split("backtrace", 1)[1]
