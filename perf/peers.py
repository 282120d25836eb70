"""The proxies we measure ourselves against, configured for the same job: one thread, upstream keep-alive, logs off."""

from __future__ import annotations

import pathlib
import shutil

from gateway_config import bootstrap
from lab import static_cluster
from tls_files import TlsFiles

NAMES = ["haproxy", "nginx", "envoy"]

HAPROXY = """
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend edge
  bind {listen}:{bind}
  option forwardfor
  default_backend origin
backend origin
  server origin {origin}:{port} {server}
"""
HAPROXY_TLS = {"bind": "443 ssl crt {pem} ssl-min-ver TLSv1.3",
               "server": "ssl crt {pem} ca-file {authority} verify required sni str(origin.example) ssl-min-ver TLSv1.3"}
HAPROXY_PLAIN = {"bind": "80", "server": ""}

NGINX = """
user root;
daemon off;
worker_processes 1;
pid {directory}/peer.pid;
error_log {directory}/peer-error.log;
events {{ worker_connections 10000; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  proxy_temp_path {directory}/proxy;
  client_body_temp_path {directory}/body;
  upstream origin {{ server {origin}:{port}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen {listen}:{bind} backlog=4096;
    {certificates}
    location / {{
      proxy_pass {scheme}://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
"""


NGINX_TLS = {"bind": "443 ssl", "scheme": "https", "certificates": """ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;
    proxy_ssl_certificate {chain}; proxy_ssl_certificate_key {key}; proxy_ssl_trusted_certificate {authority};
    proxy_ssl_verify on; proxy_ssl_name origin.example; proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;"""}
NGINX_PLAIN = {"bind": "80", "scheme": "http", "certificates": ""}


def available(name: str) -> bool:
    return shutil.which(name, path="/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") is not None


def command(name: str, directory: pathlib.Path, listen: str, origin: str, port: int, tls: TlsFiles | None = None) -> list[str]:
    """Writes the configuration of `name` and returns how to start it in the foreground. Envoy gets the file that Millrace gets."""
    path = directory / f"{name}.yaml"
    if name == "envoy":
        cluster = static_cluster("origin", [(origin, port)], tls.upstream() if tls else "")
        socket = tls.downstream(client_certificates=False) if tls else ""
        path.write_text(bootstrap([(listen, 443 if tls else 80)], cluster, socket))
        return ["envoy", "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
    template, plain, with_tls = {"haproxy": (HAPROXY, HAPROXY_PLAIN, HAPROXY_TLS), "nginx": (NGINX, NGINX_PLAIN, NGINX_TLS)}[name]
    names = {"pem": tls.server_pem, "chain": tls.server[0], "key": tls.server[1], "authority": tls.authority.certificate} if tls else {}
    parts = {key: text.format(**names) for key, text in (with_tls if tls else plain).items()}
    path.write_text(template.format(listen=listen, origin=origin, port=port, directory=directory, **parts))
    return ["haproxy", "-db", "-f", str(path)] if name == "haproxy" else ["nginx", "-c", str(path), "-p", str(directory)]
