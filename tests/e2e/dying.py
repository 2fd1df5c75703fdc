"""`cellar serve` whose process kills itself, as `kill -9` would, at a point of the deletion of a version.

python -m tests.e2e.dying removed serve
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from cellar.cli import commands
from cellar.embedded.serve import serve
from cellar.models.registry import Registry
from cellar.settings import Settings
from cellar.store.catalogue.models import RedisModels
from cellar.store.sessions.model_uses import RedisModelUses


def die() -> None:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: type, name: str) -> None:
    """Die when a method is called."""
    setattr(owner, name, lambda *_, **__: die())


def after(owner: type, name: str) -> None:
    """Die when a method returns."""
    method: Callable[..., Any] = getattr(owner, name)

    def dying(*arguments: Any, **more: Any) -> None:
        method(*arguments, **more)
        die()

    setattr(owner, name, dying)


def after_one_session() -> None:
    """Die when the first session is marked."""
    fence = RedisModelUses._fence

    async def dying(self: RedisModelUses, sessions: Sequence[Any], *more: Any) -> None:
        await fence(self, sessions[:1], *more)
        die()

    RedisModelUses._fence = dying  # type: ignore[method-assign, assignment]  # the fault that the test must find


POINTS: dict[str, Callable[[], None]] = {
    "unchanged": lambda: before(RedisModels, "delete"),
    "removed": lambda: after(RedisModels, "delete"),
    "without weights": lambda: after(Registry, "delete"),
    "one session marked": after_one_session,
    "all sessions marked": lambda: before(Registry, "forget"),
}


def command(point: str) -> list[str]:
    """Return the command that serves and dies at this point."""
    return [sys.executable, "-m", "tests.e2e.dying", point, "serve"]


def run(arguments: Sequence[str]) -> int:
    """Prepare the death, then do what `cellar` does."""
    point, *words = arguments
    POINTS[point]()
    if words == ["serve"]:
        return serve(Settings.load(), command(point)[:-1], commands.say)
    return commands.main(words)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
