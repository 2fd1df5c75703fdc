"""How the processes log: lines to standard error, for people or as JSON. Inputs, states and keys are never logged."""

import json
import logging
import sys
from datetime import UTC, datetime

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
"""What every record has; anything else was given as `extra` and belongs to the line."""

REPEAT_S = 600.0
"""How long a logger's last warning is not repeated."""


class TextLines(logging.Formatter):
    """`10:15:42 warning cellar.jobs.worker: the job queue cannot be reached`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(level)s %(name)s: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line, a traceback below it."""
        record.level = record.levelname.lower()
        return super().format(record)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, process, what was given as `extra`, error."""

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
        return json.dumps(line, default=str)


class Repeats(logging.Filter):
    """Drops a warning that its logger has given just before: what is tried each second fails for one reason.

    The same text is let through again after REPEAT_S, or after another text.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, tuple[str, float]] = {}
        """By logger: the last text, and when it was let through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is to be logged."""
        text = record.getMessage()
        last, since_s = self._last.get(record.name, ("", 0.0))
        if record.levelno == logging.WARNING and text == last and record.created - since_s < REPEAT_S:
            return False
        self._last[record.name] = text, record.created
        return True


def configure(level: str, *, as_json: bool) -> None:
    """Log from `level` on (debug, info, warning, error) to standard error. Call once, at the start of a process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    handler.addFilter(Repeats())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # What these say at info is about themselves: each compiled function, each queue call, each request.
    # rq.worker by its own name: its module raises a level that nobody has set to info.
    for name in ("numba", "rq", "rq.worker", "uvicorn", "websockets", "asyncio", "httpx"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
