"""Certificates for measurements, all of ECDSA P-256, and what the gateway is told of them."""

from __future__ import annotations

import pathlib

from certificates import Authority

SOCKET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
NAME = "shop.example"
VERSION = "tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}"


class TlsFiles:
    """An authority in `directory`, and who it vouches for: (certificate, key) each."""

    def __init__(self, directory: pathlib.Path):
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
        self.authority = Authority(directory / "ca", "bench")
        self.server, self.client, self.origin = (self.authority.issue(who, names=f"DNS:{name}") for who, name in
                                                 (("server", NAME), ("client", "client.example"), ("origin", "origin.example")))
        self.server_pem = self._joined(directory / "server.pem", self.server)

    @staticmethod
    def _joined(path: pathlib.Path, pair) -> pathlib.Path:
        path.write_text(pair[0].read_text() + pair[1].read_text())
        return path

    def _common(self, validate: bool) -> str:
        pair = f"{{certificate_chain: {{filename: {self.server[0]}}}, private_key: {{filename: {self.server[1]}}}}}"
        trust = f", validation_context: {{trusted_ca: {{filename: {self.authority.certificate}}}}}" if validate else ""
        return f"common_tls_context: {{{VERSION}, tls_certificates: [{pair}]{trust}}}"

    def downstream(self, client_certificates: bool) -> str:
        """The transport socket of a listener."""
        required = "require_client_certificate: true, " if client_certificates else ""
        return (f"{{name: tls, typed_config: {{\"@type\": {SOCKET}.DownstreamTlsContext, {required}"
                f"{self._common(client_certificates)}}}}}")

    def upstream(self) -> str:
        """A cluster's transport socket, as further fields of the cluster: mutual TLS."""
        return (f", transport_socket: {{name: tls, typed_config: {{\"@type\": {SOCKET}.UpstreamTlsContext, sni: origin.example, "
                f"{self._common(True)}}}}}")
