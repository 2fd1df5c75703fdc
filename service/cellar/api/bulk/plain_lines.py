"""Divides a body into lines, and reads those that are plain steps, many by one call of the parser."""

from cellar.api.bulk.steps import BulkStep
from cellar.api.decoding.steps.step_fast_json import plain_object, plain_step, plain_steps
from cellar.api.decoding.steps.step_input import session_key
from cellar.api.http.body import PROMPT_BYTES
from cellar.errors import BodyTooLarge
from cellar.ports import is_name
from cellar.wire.json.lines import LineSplitter, is_blank

_TAGS = 2**32

_SPACE = 0x20
"""No other white space is above it."""


class PlainLines:
    """The lines of a body: `split` takes a piece of it, and `read` returns the steps of lines that are plain."""

    def __init__(self, tenant: str, max_bytes: int) -> None:
        self._tenant = tenant
        self._splitter = LineSplitter(max_bytes)
        self._lines: list[bytes] = []
        self._at = 0
        """The index of the next line."""
        self._are_alike = True
        """Whether no line of the piece is known that has to be read by itself."""
        self._count = 0
        self.too_long: BodyTooLarge | None = None
        """The error of the line behind them, which ends the body."""

    @property
    def held_bytes(self) -> int:
        """Return the bytes of a line that is not complete."""
        return self._splitter.held_bytes

    @property
    def is_read(self) -> bool:
        """Whether no complete line is left."""
        return self._at == len(self._lines)

    def split(self, piece: bytes) -> None:
        """Add a short piece of the body, when the lines before it are read."""
        lines, self.too_long = self._splitter.split(piece)
        self._begin([line for line in lines if line and (line[0] > _SPACE or not is_blank(line))])

    def end(self) -> None:
        """End the body: its last line needs no newline."""
        self._begin(self._splitter.end())

    def _begin(self, lines: list[bytes]) -> None:
        self._lines, self._at = lines, 0
        self._are_alike = max(map(len, lines), default=0) <= PROMPT_BYTES

    def read(self, part: list[BulkStep], most: int) -> bytes | None:
        """Add the steps of the next lines to a part, which gets at most that length. Return the line that ends this.

        That line is not plain, and must be read in another way. None: the part is full, or no line is left.
        """
        lines = self._lines
        if self._are_alike:
            end = min(len(lines), self._at + most - len(part))
            commands = plain_steps(lines[self._at : end], self._tenant)
            if commands is not None:
                self._at = end
                part += [BulkStep(command.session.session, self.next_tag(), command) for command in commands]
                return None
            self._are_alike = False
        while self._at < len(lines) and len(part) < most:
            line = lines[self._at]
            self._at += 1
            step = self._plain(line)
            if step is None:
                return line
            part.append(step)
        return None

    def _plain(self, line: bytes) -> BulkStep | None:
        """Return the step of a plain line, None for any other line."""
        document = plain_object(line) if len(line) <= PROMPT_BYTES else None
        session = None if document is None else document.get("session")
        if document is None or type(session) is not str or not is_name(session):
            return None
        command = plain_step(document, session_key(self._tenant, session), None, None, others=1)
        return None if command is None else BulkStep(session, self.next_tag(), command)

    def next_tag(self) -> int:
        """Return the number of the next line, which begins again at 0 after the largest."""
        tag = self._count % _TAGS
        self._count += 1
        return tag
