"""What the Bookinfo services share: a small HTTP/1.1 server with routes, and a client that passes on tracing headers."""

from __future__ import annotations

import http.client
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FORWARDED_HEADERS = ("x-request-id", "traceparent", "tracestate", "b3", "cookie", "authorization", "end-user", "user-agent")


class Reply:
    def __init__(self, body, status: int = 200, content_type: str = "text/html; charset=utf-8", headers: dict | None = None):
        if not isinstance(body, (str, bytes)):
            body, content_type = json.dumps(body), "application/json"
        self.body = body.encode() if isinstance(body, str) else body
        self.status = status
        self.headers = {"content-type": content_type, **(headers or {})}


class Service:
    """Routes are (method, regular expression of the path) -> function(request, *groups) -> Reply."""

    def __init__(self, name: str):
        self.name = name
        self.routes: list = []
        self.route("GET", "/health")(lambda request: Reply({"status": f"{name} is healthy"}))

    def route(self, method: str, path: str):
        def add(function):
            self.routes.append((method, re.compile(path), function))
            return function
        return add

    def answer(self, request: BaseHTTPRequestHandler) -> Reply:
        path = urlsplit(request.path).path
        for method, pattern, function in self.routes:
            match = pattern.fullmatch(path)
            if match and method == request.command:
                return function(request, *match.groups())
        return Reply({"error": f"{self.name} has no {request.command} {path}"}, 404)

    def serve(self, address: str, port: int) -> None:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # head and body leave in one write
            timeout = 60

            def do_GET(self):
                self.form = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                reply = service.answer(self)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)

            do_POST = do_HEAD = do_GET

            def log_message(self, text, *values):
                sys.stderr.write(f"{service.name} {self.client_address[0]} {text % values}\n")

        ThreadingHTTPServer.daemon_threads = True
        ThreadingHTTPServer.request_queue_size = 128
        ThreadingHTTPServer((address, port), Handler).serve_forever()


def call(base: str, path: str, request: BaseHTTPRequestHandler, seconds: float = 5):
    """GET `path` of the service at `base` ("host:port=address:port") with the request's tracing headers.

    The part before "=" is the Host, the part behind it where to connect: the gateway stands between.
    Returns (status, decoded JSON or None).
    """
    authority, _, target = base.partition("=")
    host, _, port = (target or authority).rpartition(":")
    headers = {name: request.headers[name] for name in FORWARDED_HEADERS if request.headers.get(name)}
    connection = http.client.HTTPConnection(host, int(port), timeout=seconds)
    try:
        connection.request("GET", path, headers={"host": authority, **headers})
        response = connection.getresponse()
        return response.status, json.loads(response.read() or "null")
    except (OSError, ValueError, http.client.HTTPException):
        return 503, None
    finally:
        connection.close()
