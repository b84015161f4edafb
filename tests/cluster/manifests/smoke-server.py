"""What the smoke test asks of an ingress: an answer, one after a while, and the size of what was sent."""

import http.server
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, seconds = self.path.partition("?")
        if path == "/wait":
            time.sleep(int(seconds))
            self.answer(f"after {seconds} s")
        else:
            self.answer("hello")

    def do_POST(self):
        left = total = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        self.answer(f"{total} bytes")

    def answer(self, text):
        body = f"{text}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
