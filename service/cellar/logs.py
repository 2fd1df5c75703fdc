"""Configures logging: lines to standard error, as text or as JSON. Inputs, states and keys are never logged."""

import json
import logging
import re
import sys
from datetime import UTC, datetime

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
"""The attributes of every record; all others were given as `extra` and are logged."""

REQUESTS = "cellar.request"
"""The logger of the lines about requests (`cellar.api.outcomes`), each of which is about another one."""

REPEAT_S = 600.0
"""Time for which a logger does not repeat its last warning."""


RETRIES = re.compile(r" retrying in \d+ seconds")
"""The part of rq's errors about a Redis that it cannot reach which differs from one to the next."""

KEY = re.compile(r"cellar_([0-9a-f]{12})_[A-Za-z0-9_-]{8,}")
"""An API key in a text: its id tells which one it is, and its secret is not logged."""


def without_keys(text: str) -> str:
    """Return a line without the secrets of API keys.

    >>> without_keys("key cellar_001122334455_" + 43 * "a")
    'key cellar_001122334455_...'
    """
    return KEY.sub(r"cellar_\1_...", text) if "cellar_" in text else text


class TextLines(logging.Formatter):
    """Formats a record as `10:15:42 warning cellar.jobs.worker: the job queue cannot be reached`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(level)s %(name)s: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line, followed by its traceback if it has one."""
        record.level = record.levelname.lower()
        return without_keys(super().format(record))


class JsonLines(logging.Formatter):
    """Formats a record as a JSON object in one line: time, level, logger, message, process, `extra` members, error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        line |= {name: value for name, value in vars(record).items() if name not in STANDARD}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return without_keys(json.dumps(line, default=str))


class Repeats(logging.Filter):
    """Drops a warning with the same text as the last one of its logger, because retries fail for the same reason.

    The same text is logged again after REPEAT_S, or after another text. An error of rq is one of them if it only says
    when rq will retry.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, tuple[str, float]] = {}
        """The last text of each logger, and when it was logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the record."""
        if record.name == REQUESTS:
            return True
        message = record.getMessage()
        text = RETRIES.sub("", message)
        last, since_s = self._last.get(record.name, ("", 0.0))
        is_retry = record.levelno == logging.WARNING or text != message
        if is_retry and text == last and record.created - since_s < REPEAT_S:
            return False
        self._last[record.name] = text, record.created
        return True


def configure(level: str, *, as_json: bool) -> None:
    """Log records of `level` (debug, info, warning, error) and above. Call it once, at the start of a process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    handler.addFilter(Repeats())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # At level info these log each compiled function, each queue call, each request. rq.worker is named separately,
    # because its module sets its level to info if it is not set.
    for name in ("numba", "rq", "rq.worker", "uvicorn", "websockets", "asyncio", "httpx"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
