"""A small server for the site: loopback unless told, files of the site and nothing else."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_NOTHING: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Tandem</title></head><body><main><h1>Nothing to show yet | 暂无内容</h1><p>{reason}</p>
<p>Run <code>tandem build</code>, then load this page again.</p>
<p lang="zh">请运行 <code>tandem build</code>，然后刷新本页。</p></main></body></html>
"""


def make_server(
    site: Path,
    host: str = "127.0.0.1",
    port: int = 8600,
    refresh: Callable[[], str | None] | None = None,
) -> ThreadingHTTPServer:
    """A server of the folder `site`, not yet running; port 0 takes a free one.

    `refresh` is called before the index is read, one call at a time: it may write a newer site,
    and returns why there is none. Only names that the site writes are served, never a listing,
    a hidden file or a link out of the folder. On the loopback only requests for the loopback are
    answered, so that no other site's name can be pointed here to read along.
    """
    lock = threading.Lock()
    root = site.resolve()

    class Handler(BaseHTTPRequestHandler):
        server_version = "tandem"
        sys_version = ""
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing: a visit is no event of the warehouse."""

        def _answer(self) -> None:
            asked = _hostname(self.headers.get("Host", ""))
            if host in LOOPBACK and asked not in LOOPBACK:
                self._send(HTTPStatus.FORBIDDEN, b"not this host\n", "text/plain; charset=utf-8")
                return
            path = unquote(urlsplit(self.path).path)
            if path in ("/", "/index.html"):
                self._index()
                return
            found = (root / path.lstrip("/")).resolve() if "\0" not in path else root
            parts = found.relative_to(root).parts if found.is_relative_to(root) else ()
            kind = _TYPES.get(found.suffix)
            if not parts or not parts[0].startswith("build-") or kind is None:
                self._send(HTTPStatus.NOT_FOUND, b"not found\n", "text/plain; charset=utf-8")
                return
            try:
                content = found.read_bytes()
            except OSError:
                self._send(HTTPStatus.NOT_FOUND, b"not found\n", "text/plain; charset=utf-8")
                return
            # A build's folder is named by its content, so what is in it never changes.
            self._send(HTTPStatus.OK, content, kind, "private, max-age=31536000, immutable")

        def _index(self) -> None:
            reason = None
            if refresh is not None:
                with lock:
                    reason = refresh()
            try:
                self._send(HTTPStatus.OK, (root / "index.html").read_bytes(), _TYPES[".html"])
            except OSError:
                text = _NOTHING.format(reason=html.escape(reason or "No site was written."))
                self._send(HTTPStatus.SERVICE_UNAVAILABLE, text.encode(), _TYPES[".html"])

        def _send(
            self, status: HTTPStatus, content: bytes, kind: str, cache: str = "no-cache"
        ) -> None:
            self.send_response(status)
            for name, value in HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", cache)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    return Server((host, port), Handler)


def _hostname(header: str) -> str | None:
    """The name in a `Host` header; None if it has none."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None
