"""A registry in memory, on loopback at a port of the system's choice: blobs by range and uploads, with faults on demand."""
import base64
import hashlib
import http.server
import re
import socket
import threading
import urllib.parse


class tiny_registry:
    """`fault(method, path, body)` is asked before each request is answered. It may return "drop" (the connection breaks,
    nothing was taken), "drop half" (half of the body was taken), "drop answer" (all was taken), or a status."""

    def __init__(self, access="none"):
        self.access, self.blobs, self.uploads, self.log, self.fault = access, {}, {}, [], None
        owner = self

        class handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def __getattr__(self, name):
                if name.startswith("do_"):
                    return lambda: owner._answer(self)
                raise AttributeError(name)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.handle_error = lambda *_: None  # clients that are killed
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def url(self, repository):
        return f"http://{self.host}/v2/{repository}/blobs/uploads/"

    def add(self, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return digest

    def methods(self):
        return [method for method, _ in self.log]

    @staticmethod
    def _send(to, status, headers=(), body=b""):
        to.send_response(status)
        for name, value in headers:
            to.send_header(name, value)
        to.send_header("Content-Length", str(len(body)))
        to.end_headers()
        if to.command != "HEAD":
            to.wfile.write(body)

    def _drop(self, to):
        to.close_connection = True
        to.connection.shutdown(socket.SHUT_RDWR)

    def _allowed(self, to, path):
        given = to.headers.get("Authorization", "")
        if self.access == "none" or path.path == "/v2/":
            return True
        if self.access == "basic":
            return given == "Basic " + base64.b64encode(b"alice:secret").decode()
        return given == "Bearer " + "t0ken"

    def _challenge(self, to):
        how = 'Basic realm="tiny"' if self.access == "basic" else \
            f'Bearer realm="http://{self.host}/token",service="tiny",scope="repository:any:pull,push"'
        self._send(to, 401, [("WWW-Authenticate", how)])

    def _answer(self, to):
        body = to.rfile.read(int(to.headers.get("Content-Length", 0)))
        path = urllib.parse.urlsplit(to.path)
        self.log.append((to.command, to.path))
        if path.path == "/token":
            right = to.headers.get("Authorization") == "Basic " + base64.b64encode(b"alice:secret").decode()
            return self._send(to, 200 if right else 401, body=b'{"token": "t0ken"}' if right else b"{}")
        if not self._allowed(to, path):
            return self._challenge(to)
        fate = self.fault(to.command, to.path, body) if self.fault else None
        if fate == "drop":
            return self._drop(to)
        if isinstance(fate, int):
            return self._send(to, fate)
        if fate == "drop half":
            body = body[:len(body) // 2]
        answer = self._serve(to, path, body)
        return self._drop(to) if fate in ("drop half", "drop answer") else self._send(to, *answer)

    def _serve(self, to, path, body):
        if path.path == "/v2/":
            return 200, ()
        found = re.fullmatch(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})", path.path)
        if found:
            return self._blob(to, self.blobs.get(found[2]))
        found = re.fullmatch(r"/v2/(.+)/blobs/uploads/(\w*)", path.path)
        if not found:
            return 404, ()
        name = found[2] or f"u{len(self.log)}"
        if to.command == "POST":
            self.uploads[name] = b""
        elif name not in self.uploads:
            return 404, ()
        elif to.command in ("PATCH", "PUT"):
            begin = int(to.headers.get("Content-Range", "0-").split("-")[0])
            if to.command == "PATCH" and begin != len(self.uploads[name]):
                return 416, self._where(found[1], name)
            self.uploads[name] += body
        if to.command == "PUT":
            return self._finish(name, urllib.parse.parse_qs(path.query)["digest"][0])
        return {"GET": 204}.get(to.command, 202), self._where(found[1], name)

    def _where(self, repository, name):
        return [("Location", f"/v2/{repository}/blobs/uploads/{name}"),
                ("Range", f"0-{max(len(self.uploads[name]) - 1, 0)}")]

    def _finish(self, name, digest):
        data = self.uploads.pop(name)
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            return 400, ()
        self.blobs[digest] = data
        return 201, [("Docker-Content-Digest", digest)]

    @staticmethod
    def _blob(to, data):
        if data is None:
            return 404, ()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", to.headers.get("Range", ""))
        if not asked:
            return 200, (), data
        begin, end = int(asked[1]), min(int(asked[2]), len(data) - 1)
        return 206, [("Content-Range", f"bytes {begin}-{end}/{len(data)}")], data[begin:end + 1]
