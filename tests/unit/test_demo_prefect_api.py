"""The demo's way to Prefect's API: patient while the server's database is locked, and with nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from demo import prefect_server
from demo.prefect_server import PrefectApiError, PrefectServer
from tests.support.http_server import QuietHandler, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.processes import Process


@pytest.fixture
def answers() -> list[int]:
    """The statuses to answer with, one a request; 200 when they are used up."""
    return []


@pytest.fixture
def server(answers: list[int], monkeypatch: pytest.MonkeyPatch) -> Iterator[PrefectServer]:
    monkeypatch.setattr(prefect_server, "_PAUSES", (0.01, 0.01))

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            status = answers.pop(0) if answers else 200
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"id": 7}')

    with serving(Handler) as port:
        yield PrefectServer(f"http://127.0.0.1:{port}", Path(), cast("Process", None))


def test_a_locked_database_is_waited_for(server: PrefectServer, answers: list[int]) -> None:
    answers += [503, 503]
    assert server.call("POST", "flows/") == {"id": 7}
    assert answers == []


def test_a_database_that_stays_locked_is_an_error_in_the_end(
    server: PrefectServer, answers: list[int]
) -> None:
    answers += [503] * 3
    with pytest.raises(PrefectApiError, match="POST flows/ was answered with 503") as error:
        server.call("POST", "flows/")
    assert error.value.status == 503


@pytest.mark.parametrize("status", [404, 422, 500])
def test_another_error_is_said_at_once(server: PrefectServer, answers: list[int], status: int) -> None:
    answers += [status, 200]
    with pytest.raises(PrefectApiError, match=str(status)):
        server.call("POST", "flows/")
    assert answers == [200]
