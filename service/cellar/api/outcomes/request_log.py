"""One line of the log for each failed request, and for as many of the others as a setting says.

A flood of refusals must not become a flood of lines, each of which costs as much as a refusal. So there are limits, and
what is left out is counted.
"""

import asyncio
import json
import logging
import random
from collections import Counter

from cellar.api.outcomes.outcome import Outcome

logger = logging.getLogger("cellar.request")

MOST_LINES = 100
"""Lines about failed requests in a second."""

NAMED = ("tenant", "session", "request_id", "lines")
"""The members that a line for people has with their names."""

SERVER_FAULT = 500
LATER_S = 1.0


class RequestLog:
    """Logs outcomes. `share` is the part of the successful requests that are logged."""

    def __init__(self, share: float = 0.0) -> None:
        self.share = share
        self._lines = 0
        """Lines about failed requests in this second."""
        self._left_out: Counter[str] = Counter()
        """Failed requests without a line, by problem."""
        self._timer: asyncio.TimerHandle | None = None

    def note(self, outcome: Outcome) -> None:
        """Log a request, if it has failed or is one of the share."""
        level = logging.WARNING if outcome.status >= SERVER_FAULT else logging.INFO
        if not logger.isEnabledFor(level):
            return
        if outcome.has_failed:
            if not self._has_room():
                self._left_out[outcome.problem] += 1
                return
        elif random.random() >= self.share:  # noqa: S311  # a sample, no secret
            return
        members = _members(outcome)
        logger.log(level, "%s", _text(outcome, members), extra=members)

    def _has_room(self) -> bool:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LATER_S, self._begin_again)
        self._lines += 1
        return self._lines <= MOST_LINES

    def _begin_again(self) -> None:
        """Begin another second, and log how many requests of the last one have no line."""
        self._timer, self._lines = None, 0
        left_out, self._left_out = self._left_out, Counter()
        if left_out:
            by_problem = ", ".join(f"{count} {problem or 'others'}" for problem, count in left_out.most_common())
            logger.warning("%d more requests have failed: %s", left_out.total(), by_problem)


def _members(outcome: Outcome) -> dict[str, object]:
    """Return the members of a line in JSON, without those that have nothing to say."""
    texts = {"method": outcome.method, "route": outcome.route, "problem": outcome.problem}
    texts |= {"tenant": outcome.tenant, "session": outcome.session, "request_id": outcome.request_id}
    texts |= {"lines": outcome.lines}
    numbers: dict[str, object] = {"status": outcome.status, "duration_ms": round(outcome.duration_s * 1000, 3)}
    return {name: text for name, text in texts.items() if text} | numbers | {"transport": outcome.transport}


def _text(outcome: Outcome, members: dict[str, object]) -> str:
    """Return a line for people: the route, the outcome, and the tenant."""
    words = [outcome.method, outcome.route or "(no such path)", str(outcome.status), outcome.problem]
    words.append(f"{members['duration_ms']} ms")
    words += [f"{name}={_shown(str(members[name]))}" for name in NAMED if name in members]
    return " ".join(word for word in words if word)


def _shown(text: str) -> str:
    """Return a text as one word: names of sessions may have any characters."""
    return text if text.isascii() and text.isprintable() and " " not in text else json.dumps(text)
