"""Notices that are posted to a server."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.test_notices import configure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.home import Home, Told

PROGRAM = [sys.executable, "-m", "prokerja.webhook"]


class Server(HTTPServer):
    """Answers with the code that its path says, and keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[str, str | None, Any]] = []

    def url(self, code: int) -> str:
        return f"http://127.0.0.1:{self.server_port}/{code}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Content-Type"], json.loads(data)))
        self.send_response(int(self.path[1:]))
        self.send_header("Location", "/200")
        self.end_headers()

    def do_GET(self) -> None:
        self.server.got.append((self.path, None, "was asked for"))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def post(home: Home, *words: str) -> Told:
    return home.execute([*PROGRAM, *words], stdin='{"a": 1}')


def test_a_worker_posts_the_facts(home: Home, server: Server) -> None:
    configure(home, f'failed = {{url = "{server.url(204)}"}}')
    id = home.run("raise ValueError('no')")
    home.work()
    [(path, kind, facts)] = server.got
    assert (path, kind) == ("/204", "application/json")
    assert (facts["notice"], facts["id"], facts["error"]) == ("failed", id, "ValueError: no")
    [notice] = home.queue.find(queue="prokerja.notify")
    assert notice.status == "completed"
    assert server.url(204) not in home.cli("report:jobs"), "an address may hold a secret"


def test_a_server_that_takes_it_is_all_that_counts(home: Home, server: Server) -> None:
    assert post(home, server.url(200)) == (0, "", "")
    assert server.got == [("/200", "application/json", {"a": 1})]


@pytest.mark.parametrize("code", [302, 404, 500])
def test_any_other_answer_is_a_failure(home: Home, server: Server, code: int) -> None:
    done = post(home, server.url(code))
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"prokerja.webhook: 127.0.0.1 answered {code} ")
    assert done.err.count("\n") == 1
    assert [path for path, _, _ in server.got] == [f"/{code}"]


def test_a_server_that_is_not_there_is_named(home: Home) -> None:
    with Server() as gone:
        url = gone.url(200)
    done = post(home, url)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("prokerja.webhook: cannot post to 127.0.0.1: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "http://", "", "http://[", "x"])
def test_nothing_but_a_server_is_posted_to(home: Home, url: str) -> None:
    done = post(home, url)
    assert (done.code, done.out) == (2, "")
    assert done.err == "prokerja.webhook: no address; give one with http:// or https://\n"
