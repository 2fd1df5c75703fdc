"""The calls of a plain HTTP step on its way through the package, as they were recorded in a running service."""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import cellar

PACKAGE = Path(cellar.__file__).parent
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@dataclass(frozen=True)
class Call:
    """A call of a function of the package by another one; `caller` is None where the event loop calls."""

    caller: str | None
    """The module, `api.fast_http.protocol`."""
    callee: str
    function: str


@contextmanager
def recorded() -> Iterator[list[Call]]:
    """Yield a list to which the calls on this thread are added that are made in here."""
    calls: list[Call] = []
    modules: dict[str, str | None] = {}

    def module_of(frame: FrameType | None) -> str | None:
        if frame is None:
            return None
        text = frame.f_code.co_filename
        if text not in modules:
            path = Path(text)
            inside = path.is_relative_to(PACKAGE)
            modules[text] = ".".join(path.relative_to(PACKAGE).with_suffix("").parts) if inside else None
        return modules[text]

    def note(frame: FrameType, event: str, _: object) -> None:
        callee = module_of(frame) if event == "call" else None
        if callee is not None:
            calls.append(Call(module_of(frame.f_back), callee, frame.f_code.co_qualname))

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def _layers() -> dict[str, dict[str, int]]:
    """Return the height of every module in its package, as the import contracts have it."""
    contracts = tomllib.loads(PYPROJECT.read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    return {
        contract["containers"][0]: {
            name: -number for number, layer in enumerate(contract["layers"]) for name in re.split(r"\s*[|:]\s*", layer)
        }
        for contract in contracts
        if contract["type"] == "layers"
    }


LAYERS = _layers()


ROOMS = ("api", "sessions", "store", "nn", "engine", "ports", "wire")
"""The rooms that steps pass, the highest first: each uses those behind it, the sessions the store through its port."""


def is_turn(call: Call) -> bool:
    """Return whether a room is called by one that it uses, or a module of the sessions by one that may not import it:
    a callback, where the way of a step turns back."""
    if call.caller is None:
        return False
    caller, callee = call.caller.split("."), call.callee.split(".")
    if caller[0] != callee[0]:
        return ROOMS.index(callee[0]) < ROOMS.index(caller[0])
    return caller[0] == "sessions" and _is_above(caller, callee)


def _is_above(caller: Sequence[str], callee: Sequence[str]) -> bool:
    package = ["cellar"]
    for one, other in zip(caller, callee, strict=False):
        if one != other:
            heights = LAYERS[".".join(package)]
            return heights[other] > heights[one]
        package.append(one)
    return False


def files(calls: Sequence[Call]) -> list[str]:
    """Return the modules that were passed, in the order in which they were first come to."""
    return [*dict.fromkeys(call.callee for call in calls)]
