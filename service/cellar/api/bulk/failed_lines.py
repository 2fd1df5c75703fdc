"""The failed lines of a bulk request, which have one line of the log together: the status of the answer is 200."""

from collections import Counter
from http import HTTPStatus
from time import monotonic

from starlette.types import Scope

from cellar.api.errors.problems import INTERNAL_SLUG, status_of
from cellar.api.outcomes.middleware import CALLER
from cellar.api.outcomes.outcome import Outcome, Outcomes
from cellar.api.outcomes.request_id import NAME, accepted
from cellar.errors import CellarError


class FailedLines:
    """Counts the failed lines, or records of frames, of one request by their problem."""

    def __init__(self, route: str) -> None:
        self.lines = 0
        """All lines of the request, failed or not."""
        self._route = route
        self._began_s = monotonic()
        self._problems: Counter[str] = Counter()
        self._worst: int = HTTPStatus.OK
        self._session = ""
        """The session of the first failed line."""

    def add(self, session: str | None, error: BaseException) -> None:
        """Count a failed line."""
        if not self._problems:
            self._session = session or ""
        problem, status = INTERNAL_SLUG, int(HTTPStatus.INTERNAL_SERVER_ERROR)
        if isinstance(error, CellarError):
            problem, status = error.slug, status_of(type(error))
        self._problems[problem] += 1
        self._worst = max(self._worst, status)

    def report(self, scope: Scope) -> None:
        """Report them as one outcome, if there are any: the worst status, and the most frequent problem."""
        if not self._problems:
            return
        outcomes: Outcomes = scope["app"].state.outcomes
        caller = scope.get(CALLER)
        sent = dict(scope["headers"]).get(NAME)
        by_problem = self._problems.most_common()
        counts = ", ".join(f"{count} {problem}" for problem, count in by_problem)
        outcomes.note(
            Outcome(
                "http",
                "POST",
                self._route,
                self._worst,
                by_problem[0][0],
                "" if caller is None else caller.tenant,
                self._session,
                monotonic() - self._began_s,
                accepted(sent) or "",
                f"{self._problems.total()} of {self.lines} lines: {counts}",
            )
        )
