"""What a listener offers in TLS, judged by testssl.sh: protocols, ciphers, preferences, the known attacks."""

import json
import os

import pytest

from certificates import Authority
from conftest import bootstrap
from lab import GATEWAY, Gateway, Namespace, static_cluster
from test_tls import files, listener

NAME = "shop.example"


@pytest.mark.skipif(bool(os.environ.get("MILLRACE_SANITIZE")), reason="some hundred handshakes, which say the same with a sanitizer")
def test_no_finding_of_medium_or_worse(tmp_path):
    tmp_path.chmod(0o755)
    authority = Authority(tmp_path / "ca", "ca")
    pairs = [authority.issue(key, names=f"DNS:{NAME}", key=key, crl_address="http://ca.example/crl.pem") for key in ("ec", "rsa")]
    context = f"common_tls_context: {{alpn_protocols: [http/1.1], tls_certificates: [{', '.join(map(files, pairs))}]}}"
    text = bootstrap(listener("tls", 443, context, "nowhere"), static_cluster("nowhere", [("198.18.0.1", 8000)]))
    report = tmp_path / "report.json"
    with Namespace() as namespace, Gateway(namespace, text):
        result = namespace.run(
            ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", GATEWAY, "--add-ca",
             str(authority.certificate), "--protocols", "--std", "--fs", "--server-preference", "--server-defaults", "--vulnerable",
             "--jsonfile", str(report), f"{NAME}:443"], check=False, capture_output=True, text=True, timeout=400)
    assert report.exists(), result.stdout + result.stderr
    findings = json.loads(report.read_text())
    assert len(findings) > 60, "it has looked at everything"
    bad = [f"{f['severity']} {f['id']}: {f['finding']}" for f in findings
           if f["severity"] in ("MEDIUM", "HIGH", "CRITICAL")]
    assert not bad, "\n".join(bad)
