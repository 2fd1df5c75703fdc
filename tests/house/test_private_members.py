"""The private parts of libraries that the package uses are known, and are what they were when they were read."""

import inspect
from importlib.metadata import version
from typing import Any

import pytest

from tests.house.library_uses import Uses
from tests.house.private_members import UNSEEN, documented, fingerprint, listed, modules, used

READ = "read what has changed, adapt the code, then `python -m tests.house.private_members`"

MEMBERS = {place: print_ for library in listed().values() for place, print_ in library["members"].items()}


@pytest.mark.parametrize("library", listed())
def test_a_library_is_of_the_version_that_was_read(library: str) -> None:
    assert version(library) == listed()[library]["version"], READ


@pytest.mark.parametrize("library", listed())
def test_no_private_member_has_changed(library: str) -> None:
    stored = listed()[library]["members"]
    assert {place: fingerprint(place) for place in stored} == stored, READ


@pytest.mark.pure
def test_every_use_of_a_private_member_stands_in_the_list() -> None:
    assert used() == MEMBERS.keys(), "`python -m tests.house.private_members` writes the list anew"


@pytest.mark.pure
def test_what_the_scan_cannot_see_is_used() -> None:
    text = "".join(map(inspect.getsource, modules()))
    assert [place for place in UNSEEN if f".{place.rpartition('.')[2]}" not in text] == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("from uvicorn._types import Scope", "uvicorn._types:Scope"),
        ("from redis.crc import key_slot", "redis.crc:key_slot"),
        ("def f():\n    from rq.worker_pool import WorkerPool", "rq.worker_pool:WorkerPool"),
        ("from numba.core import dispatcher\ndispatcher.Dispatcher", "numba.core.dispatcher:Dispatcher"),
        ("from redis import Redis\nRedis._execute_command", "redis.client:Redis._execute_command"),
        ("from rq import Worker\nWorker._set_connection", "rq.worker.base:BaseWorker._set_connection"),
        ("from rq import Worker\nWorker.work = None", "rq.worker.base:BaseWorker.work"),
        ("from rq import Worker\nWorker.work", ""),
        ("import uvicorn\nclass A(uvicorn.Server):\n  def main_loop(self): ...", "uvicorn.server:Server.main_loop"),
        ("import uvicorn\nclass A(uvicorn.Server):\n  def f(self): self.started", "uvicorn.server:Server.started"),
        (
            "from uvicorn.protocols.http.httptools_impl import RequestResponseCycle as C\ndef f(c: C): c.on_response",
            "uvicorn.protocols.http.httptools_impl:RequestResponseCycle.on_response",
        ),
        ("TEXT = '''\nfrom numba.core.cgutils import pack_array\n'''", "numba.core.cgutils:pack_array"),
        ("from websockets.frames import Frame\nFrame(1, b'')", ""),
    ],
)
def test_a_use_is_found(text: str, place: str) -> None:
    names: dict[str, Any] = {}
    if "class" in text:
        exec(text, names)
    found = Uses(text, names, documented()).found
    assert place in found if place else not found


@pytest.mark.parametrize("place", ["rq.worker.base:BaseWorker.was_never_there", "redis.crc:was_never_there"])
def test_a_member_that_is_gone_is_an_error(place: str) -> None:
    with pytest.raises(AttributeError):
        fingerprint(place)
