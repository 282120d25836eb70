"""A workload of a mesh: HTTP/1.1 behind TLS. Says as JSON who it is, what it was asked, and who asked.

    mesh_origin.py NAME ADDRESS PORT CERTIFICATE KEY [CLIENT_CA]

With CLIENT_CA nobody is heard without a certificate of it. What a test wants of it stands in the request:
    x-fail: KEY TIMES STATUS     the first TIMES requests with this KEY get STATUS
    x-stall: KEY SECONDS         the first request with this KEY waits
"""

import collections
import http.server
import json
import ssl
import sys
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    name: str
    context: ssl.SSLContext
    seen: collections.Counter = collections.Counter()
    lock = threading.Lock()

    def setup(self):
        self.request = self.context.wrap_socket(self.request, server_side=True)  # here: each connection has its own thread
        super().setup()

    def serve(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status = 200
        if order := self.headers.get("x-fail"):
            key, times, failure = order.split()
            status = int(failure) if self.count(key) <= int(times) else 200
        if order := self.headers.get("x-stall"):
            key, seconds = order.split()
            time.sleep(float(seconds) if self.count(key) == 1 else 0)
        certificate = self.request.getpeercert() or {}
        body = json.dumps({"workload": self.name, "method": self.command, "path": self.path, "server_name": self.request.server_name,
                           "client": [value for _, value in certificate.get("subjectAltName", ())],
                           "fields": {name.lower(): value for name, value in self.headers.items()}}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = serve

    def count(self, key: str) -> int:
        with self.lock:
            self.seen[key] += 1
            return self.seen[key]

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, *_):
        pass  # handshakes that fail are what some tests are about


class Socket(ssl.SSLSocket):
    """Knows which name the client asked for."""
    server_name = None


def note_server_name(connection: Socket, name: str | None, _) -> None:
    connection.server_name = name


def main() -> None:
    name, address, port, certificate, key, *client_ca = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = Socket
    context.sni_callback = note_server_name
    context.load_cert_chain(certificate, key)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca[0])
    Handler.name, Handler.context = name, context
    Server((address, int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
