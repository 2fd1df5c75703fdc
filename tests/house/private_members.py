"""What the package uses of the private parts of libraries, with the versions that it was read in.

    python -m tests.house.private_members

writes `private_members.toml` anew: after an upgrade, once every change of what the package uses has been read.
"""

import ast
import hashlib
import importlib
import inspect
import pkgutil
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import cellar
from tests.house.library_uses import LIBRARIES, Documented, Uses

LIST = Path(__file__).parent / "private_members.toml"

MODULES = [
    "fastapi",
    "fastapi.exceptions",
    "llvmlite.binding",
    "llvmlite.ir",
    "numba",
    "numba.core.datamodel.models",  # what `numba.extending.models` is
    "numba.core.types",  # what `numba.types` is
    "numba.extending",
    "redis",
    "redis.asyncio",
    "redis.asyncio.client",
    "redis.asyncio.retry",
    "redis.backoff",
    "redis.exceptions",
    "redis.retry",
    "redis.sentinel",
    "rq",
    "rq.exceptions",
    "rq.serializers",
    "starlette.datastructures",
    "starlette.exceptions",
    "starlette.middleware.cors",
    "starlette.requests",
    "starlette.responses",
    "starlette.staticfiles",
    "starlette.types",
    "uvicorn",
    "websockets.frames",
    "websockets.http11",
    "websockets.server",
]
"""Modules that the documentation describes as a whole. Members of their classes are private all the same where a class
of ours overrides them, unless they stand below."""

NAMES = {
    "fastapi.openapi.utils:get_openapi",
    "fastapi.routing:APIRoute",
    "fastapi.routing:APIRoute.get_route_handler",
    "redis.asyncio.connection:SSLConnection",
    "redis.cluster:ClusterNode",
    "redis.cluster:RedisCluster",
    "redis.connection:SSLConnection",
    "rq.executions:Execution",
    "rq.job:Job",
    "rq.queue:Queue",
    "starlette.requests:Request.json",
    "starlette.responses:Response.background",
    "starlette.responses:Response.media_type",
    "starlette.responses:Response.status_code",
    "uvicorn.server:Server.config",
    "websockets.protocol:SEND_EOF",
}
"""Names of other modules, and members, that the documentation describes."""

UNSEEN = {
    "numba.core.base:BaseContext.get_dummy_value",
    "numba.core.compiler:Flags.no_cfunc_wrapper",
    "numba.core.compiler:Flags.no_cpython_wrapper",
    "numba.core.types.functions:BaseFunction.templates",
    "numba.core.typing.templates:FunctionTemplate.prefer_literal",
    "redis.asyncio.connection:RedisSSLContext.get",
    "redis.asyncio.connection:SSLConnection.ssl_context",
    "uvicorn.server:ServerState.connections",
    "uvicorn.server:ServerState.default_headers",
    "uvicorn.server:ServerState.total_requests",
}
"""Members of objects that a library hands over: nothing in the module that uses them tells their class."""


def documented() -> Documented:
    """Return what the documentation of the libraries describes."""
    return Documented({*MODULES, *NAMES}, MODULES)


def modules() -> Iterator[ModuleType]:
    """Yield all modules of the package."""
    for found in pkgutil.walk_packages(cellar.__path__, "cellar."):
        yield importlib.import_module(found.name)


def used() -> set[str]:
    """Return the private members that the package uses, as `module:name` and `module:Class.member`."""
    known = documented()
    found = (Uses(inspect.getsource(module), vars(module), known).found for module in modules())
    return UNSEEN.union(*found)


def fingerprint(place: str) -> str:
    """Return a short hash of how a member is written. Raise AttributeError if there is none."""
    where, _, path = place.partition(":")
    *before, name = path.split(".")
    owner: Any = importlib.import_module(where)
    for part in before:
        owner = getattr(owner, part)
    found = inspect.getattr_static(owner, name, None)
    found = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
    if inspect.isfunction(found) or inspect.isclass(found):
        text = inspect.getsource(found)
    else:
        text = "\n".join(_assignments(owner, name)) or (repr(found) if callable(found) else "")
    if not text:
        raise AttributeError(place)
    return hashlib.sha256(textwrap.dedent(text).encode()).hexdigest()[:16]


def _assignments(owner: Any, name: str) -> Iterator[str]:
    """Yield the statements of a module or class that give a value to a name, or to that member of `self`."""
    try:
        source = textwrap.dedent(inspect.getsource(owner))
    except OSError:  # it is written in C
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            parts = (part for target in targets for part in ast.walk(target))
            if any(name in (getattr(part, "id", None), getattr(part, "attr", None)) for part in parts):
                yield ast.get_source_segment(source, node) or ""


def listed() -> dict[str, dict[str, Any]]:
    """Return the list: of each library its version, and the fingerprints of its members by their places."""
    return tomllib.loads(LIST.read_text())


def main() -> None:
    """Write the list anew."""
    text = "# Private members of libraries that the package uses; written by `python -m tests.house.private_members`.\n"
    places = sorted(used())
    for library in LIBRARIES:
        own = [place for place in places if place.partition(":")[0].partition(".")[0] == library]
        if own:
            text += f'\n[{library}]\nversion = "{version(library)}"\n\n[{library}.members]\n'
            text += "".join(f'"{place}" = "{fingerprint(place)}"\n' for place in own)
    LIST.write_text(text)
    sys.stdout.write(f"{len(places)} members in {LIST.name}\n")


if __name__ == "__main__":
    main()
