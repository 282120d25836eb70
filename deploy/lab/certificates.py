"""A certificate authority for tests and measurements: made by the openssl program in a directory, gone with it."""

import pathlib
import subprocess
from datetime import datetime, timedelta, timezone


class Authority:
    def __init__(self, directory: pathlib.Path, name: str):
        self.directory, self.name = directory, name
        directory.mkdir(parents=True, exist_ok=True)
        self.key, self.certificate = directory / "ca.key", directory / "ca.pem"
        self._openssl("req", "-x509", *self._new_key("ec"), "-nodes", "-days", "365",
                      "-keyout", self.key, "-out", self.certificate, "-subj", f"/O=Millrace tests/CN={name}",
                      "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        for file, text in (("index.txt", ""), ("crlnumber", "01\n"), ("serial", "1000\n")):
            (directory / file).write_text(text)
        self._config = directory / "ca.cnf"
        self._config.write_text(f"[ca]\ndefault_ca=us\n[us]\ndatabase={directory}/index.txt\ncrlnumber={directory}/crlnumber\n"
                                f"serial={directory}/serial\nnew_certs_dir={directory}\nunique_subject=no\npolicy=any\n"
                                f"certificate={self.certificate}\nprivate_key={self.key}\ndefault_md=sha256\ndefault_crl_days=30\n"
                                "[any]\norganizationName=optional\ncommonName=optional\n")

    def issue(self, name: str, *, names: str, key: str = "ec", days: tuple[int, int] = (-1, 90),
              crl_address: str = "") -> tuple[pathlib.Path, pathlib.Path]:
        """Certificate and key files of a leaf. `names`: subject alternative names as openssl writes them, "DNS:a.example,URI:spiffe://b";
        `key`: "ec" or "rsa"; `days`: valid from and until, counted from now; `crl_address`: where its revocation would be told."""
        key_file, request, certificate, extensions = (self.directory / f"{name}.{kind}" for kind in ("key", "csr", "pem", "ext"))
        self._openssl("req", *self._new_key(key), "-nodes", "-keyout", key_file, "-out", request, "-subj",
                      f"/O=Millrace tests/CN={name}")
        extensions.write_text(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"
                              "extendedKeyUsage=serverAuth,clientAuth\n"
                              + (f"crlDistributionPoints=URI:{crl_address}\n" if crl_address else ""))
        begin, end = ((datetime.now(timezone.utc) + timedelta(days=d)).strftime("%y%m%d%H%M%SZ") for d in days)
        self._openssl("ca", "-batch", "-config", self._config, "-in", request, "-out", certificate, "-startdate", begin,
                      "-enddate", end, "-extfile", extensions, "-notext")
        return certificate, key_file

    def revoke(self, certificate: pathlib.Path) -> None:
        self._openssl("ca", "-config", self._config, "-revoke", certificate)

    def crl(self) -> pathlib.Path:
        out = self.directory / "crl.pem"
        self._openssl("ca", "-config", self._config, "-gencrl", "-out", out)
        return out

    @staticmethod
    def _new_key(kind: str) -> list[str]:
        return ["-newkey", "rsa:2048"] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]

    @staticmethod
    def _openssl(*arguments) -> None:
        result = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
        assert result.returncode == 0, f"openssl {arguments[0]}: {result.stderr}"
