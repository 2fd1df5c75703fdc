"""The protocol finds in every stream what h11 finds in it; `python -m tests.api.differential` asks of more of them."""

import pytest

from tests.api.differential import by_h11
from tests.api.differential.compare import differences
from tests.api.differential.readings import End, Request
from tests.api.differential.streams import CORPUS, HIDDEN

pytestmark = pytest.mark.anyio


async def test_the_same_requests_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """In streams whole, byte by byte, and cut at random."""
    found = await differences(range(2000), 0, monkeypatch)
    assert [str(one) for one in found] == []


async def test_a_reader_that_runs_what_is_hidden_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself: a service that took bodies for requests would not pass."""
    monkeypatch.setattr("cellar.api.fast_http.strict.StrictProtocol._head_without_upgrade", lambda _: b"")
    assert len(list(await differences(range(200), 0, monkeypatch))) > 5


def test_the_corpus_has_what_the_exceptions_are_about() -> None:
    """Each exception is met, or it could stand there for nothing."""
    readings = [by_h11.read(stream) for stream in CORPUS]
    assert {reading.end for reading in readings} >= {End.CLEAN, End.CLOSED, End.REFUSED, End.UPGRADED}
    assert all(Request(b"DELETE", b"/v1/sessions/victim", [], b"") not in reading.requests for reading in readings)
    assert any(request.body == HIDDEN for reading in readings for request in reading.requests)
