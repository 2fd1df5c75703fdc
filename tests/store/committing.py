"""A tick of commits as one call that waits for all results."""

import asyncio
from collections.abc import Sequence

from cellar.ports import Commit, CommitResult, SessionStore


async def commit_all(store: SessionStore, commits: Sequence[Commit]) -> list[CommitResult]:
    """Post a tick and return the result of each commit, in order, when all are there."""
    results: dict[int, CommitResult] = {}
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(part: Sequence[int], found: Sequence[CommitResult]) -> None:
        results.update(zip(part, found, strict=True))
        if len(results) == len(commits) and not ended.done():
            ended.set_result(None)

    store.post(commits, done)
    await ended
    return [results[index] for index in range(len(commits))]
