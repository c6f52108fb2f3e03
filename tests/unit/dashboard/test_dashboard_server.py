"""The server: the site's files and nothing else, newer ones when there are, words when there are
none.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dashboard import Keeper, make_server, site_path, write_site
from orchestration.errors import TandemError
from orchestration.settings import Settings
from tests.support import test_settings
from tests.unit.dashboard.published_world import make_published, small_world


@contextmanager
def serving(settings: Settings) -> Iterator[int]:
    server = make_server(site_path(settings), port=0, refresh=Keeper(settings).refresh)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(
    port: int, path: str, method: str = "GET", host: str = "localhost"
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, headers={"Host": f"{host}:{port}"})
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read().decode()
    finally:
        connection.close()


def test_a_home_from_nothing_to_a_second_publish(tmp_path: Path) -> None:
    settings = test_settings(tmp_path / "home <b>")
    with pytest.raises(TandemError, match="nothing is published"):
        write_site(settings)
    with serving(settings) as port:
        status, headers, text = ask(port, "/")
        assert (status, "tandem build" in text, "home &lt;b&gt;" in text) == (503, True, True)
        assert headers["content-security-policy"].startswith("default-src 'self';")
        make_published(settings.serving_path, small_world())
        status, _, first = ask(port, "/index.html")
        assert (status, "tandem-dashboard" in first) == (200, True)
        new = make_published(settings.serving_path.with_name("new"), {}, version=2)
        new.replace(settings.serving_path)
        assert ask(port, "/")[2] != first
        # A published file that cannot be read leaves the site as it was.
        settings.serving_path.write_text("torn", encoding="utf-8")
        second = ask(port, "/")
        assert (second[0], second[2] != first) == (200, True)


def test_files_of_the_site_and_nothing_else(tmp_path: Path) -> None:
    settings = test_settings(tmp_path)
    make_published(settings.serving_path, small_world())
    (tmp_path / "secret.js").write_text("key", encoding="utf-8")
    with serving(settings) as port:
        build = ask(port, "/")[2].split('data-build="')[1].split('"')[0]
        folder = site_path(settings) / build
        (folder / "link.js").symlink_to(tmp_path / "secret.js")
        (site_path(settings) / "notes.js").write_text("mine", encoding="utf-8")
        status, headers, text = ask(port, f"/{build}/app.js?v=1")
        assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
        assert headers["x-content-type-options"] == "nosniff"
        assert "immutable" in headers["cache-control"]
        assert len(text.encode()) == int(headers["content-length"])
        status, headers, text = ask(port, f"/{build}/data/users.js", "HEAD")
        assert (status, text) == (200, "")
        for path in (
            f"/{build}",
            f"/{build}/",
            f"/{build}/data/",
            f"/{build}/none.js",
            f"/{build}/link.js",
            f"/{build}/vendor/README.md",
            "/notes.js",
            "/../secret.js",
            f"/{build}/..%2f..%2f..%2fsecret.js",
            f"/{build}/%00.js",
            "//etc/passwd",
            "/.index.html",
        ):
            assert ask(port, path)[0] == 404, path
        assert ask(port, "/", "POST")[0] == 501
        assert ask(port, "/", host="rebound.example")[0] == 403
        assert ask(port, f"/{build}/app.js", host="[bad")[0] == 403
        assert ask(port, "/", host="[::1]")[0] == 200
