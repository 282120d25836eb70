"""The proxies we measure ourselves against, configured for the same job: one thread, upstream keep-alive, logs off."""

from __future__ import annotations

import pathlib
import shutil

from gateway_config import bootstrap
from lab import static_cluster

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
  bind {listen}:80
  option forwardfor
  default_backend origin
backend origin
  server origin {origin}:{port}
"""

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
    listen {listen}:80 backlog=4096;
    location / {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
"""


def available(name: str) -> bool:
    return shutil.which(name, path="/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") is not None


def command(name: str, directory: pathlib.Path, listen: str, origin: str, port: int) -> list[str]:
    """Writes the configuration of `name` and returns how to start it in the foreground. Envoy gets the file that Millrace gets."""
    path = directory / f"{name}.yaml"
    if name == "envoy":
        path.write_text(bootstrap([(listen, 80)], static_cluster("origin", [(origin, port)])))
        return ["envoy", "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
    template = {"haproxy": HAPROXY, "nginx": NGINX}[name]
    path.write_text(template.format(listen=listen, origin=origin, port=port, directory=directory))
    return ["haproxy", "-db", "-f", str(path)] if name == "haproxy" else ["nginx", "-c", str(path), "-p", str(directory)]
