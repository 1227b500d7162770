# What stands behind the service in tests: an application for gunicorn, and, run as a program, a server of
# Python's own. They note each request in the file TOLD, and say a secret where they take its path for one
# of /admin/.

import json
import os
import posixpath
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

# A body for HEAD, which HTTP does not know.
FAKE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake"


def tell(method, target, headers, body):
    told = {"method": method, "target": target, "headers": headers, "body": body.decode("latin-1")}
    with open(os.environ["TOLD"], "a") as file:
        file.write(json.dumps(told) + "\n")


def answer(method, path):
    if method == "HEAD":
        return FAKE
    return b"SECRET" if posixpath.normpath(path).startswith("/admin/") else b"told"


def app(environ, start_response):
    method, path, target = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["RAW_URI"]
    if target == "/unread":
        start_response("413 Content Too Large", [("Content-Length", "4")])
        return [b"long"]
    headers = {name: value for name, value in environ.items() if isinstance(value, str)}
    tell(method, target, headers, environ["wsgi.input"].read())
    text = answer(method, path)
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.take
        raise AttributeError(name)

    do_GET = do_HEAD = property(lambda self: self.take)

    def take(self):
        if self.path == "/unread":
            self.close_connection = True
            return self.say(413, b"long")
        tell(self.command, self.path, dict(self.headers.items()), self.body())
        root = self.translate_path("/")
        path = "/" + os.path.relpath(self.translate_path(self.path), root) + "/"
        self.say(200, answer(self.command, path))

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while True:
            length = int(self.rfile.readline(), 16)
            body += self.rfile.read(length)
            self.rfile.readline()
            if length == 0:
                return body

    def say(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
