"""Keep child processes alive: they start again when they crash, and drain when told to stop."""

import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import FrameType, TracebackType
from typing import Self

from cellar.embedded.backoff import RestartBackoff

log = logging.getLogger(__name__)

STOP = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})

GIVE_UP = 78
"""Exit code of a child that will never start as things are: EX_CONFIG of sysexits.h."""

TICK_S = 0.1
"""How often things are looked at that send no signal. The end of a child sends one."""

BACKOFF_S = (0.1, 5.0)
"""The first wait before a crashed child starts again, doubled each time, and the longest."""

STEADY_S = 10.0
"""A child that lived this long has not crashed at start: its next wait is the first again."""

MARGIN_S = 2.0
"""What a draining child may take beyond its own limit before it is killed."""


class Signals:
    """Signals as something to wait for, while the context lasts."""

    def __enter__(self) -> Self:
        """Take over the signals that stop the process, and the one that says that a child has ended."""
        self._undo = ExitStack()
        self._read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._undo.callback(os.close, self._read)
        self._undo.callback(os.close, write)
        self._undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(write, warn_on_full_buffer=False))
        for number in (*STOP, signal.SIGCHLD):
            self._undo.callback(signal.signal, number, signal.signal(number, _note))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give them back."""
        self._undo.close()

    def wait(self, timeout_s: float) -> bool:
        """Wait for a signal or until the time is over; return whether one came that asks to stop."""
        ready, _, _ = select.select([self._read], [], [], timeout_s)
        return bool(ready) and not STOP.isdisjoint(os.read(self._read, 4096))


class Child:
    """A process that should be running."""

    def __init__(self, name: str, command: Sequence[str], *, inherit: Sequence[int] = ()) -> None:
        self.name = name
        self._command = command
        self._inherit = inherit
        self._process: subprocess.Popen[bytes] | None = None
        self._backoff = RestartBackoff(*BACKOFF_S, STEADY_S)

    def keep(self, now_s: float) -> bool:
        """Start it if it does not run and its wait is over; return False if it has given up."""
        if self._process and self._process.poll() is not None:
            code, self._process = self._process.returncode, None
            if code == GIVE_UP:
                return False
            pause_s = self._backoff.failed(now_s)
            log.error("the %s process %s; it starts again in %.1f s", self.name, _ending(code), pause_s)
        if self._process is None and self._backoff.is_due(now_s):
            self._start(now_s)
        return True

    def stop(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self._process:
            self._process.send_signal(number)

    def ended(self) -> bool:
        """Return whether it does not run."""
        return self._process is None or self._process.poll() is not None

    def _start(self, now_s: float) -> None:
        self._backoff.started(now_s)
        try:
            # A session of its own: Ctrl-C in the terminal is for the parent, which says in what order to stop.
            self._process = subprocess.Popen(self._command, pass_fds=self._inherit, start_new_session=True)
        except OSError as error:  # no memory, process or file to spare now
            pause_s = self._backoff.failed(now_s)
            log.error("the %s process cannot be started: %s; the next try is in %.1f s", self.name, error, pause_s)


class Upkeep:
    """An action that is repeated. One that raises ends nothing: it is logged, and tried again after growing pauses."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self._backoff = RestartBackoff(*BACKOFF_S, STEADY_S)
        self._failed = True
        """Whether the next run is a first one, or the first after a failure."""

    def run(self, now_s: float) -> None:
        """Run the action, unless it failed a moment ago."""
        if not self._backoff.is_due(now_s):
            return
        if self._failed:
            self._backoff.started(now_s)
        try:
            self._action()
            self._failed = False
        except Exception:
            self._failed = True
            log.exception("upkeep failed; the next try is in %.1f s", self._backoff.failed(now_s))


def supervise(children: Sequence[Child], upkeep: Callable[[], object] | None, drain_s: float) -> int:
    """Run the children until a signal asks to stop, then let them drain; return the exit code.

    `upkeep` is called between looks at the children. A child that gives up ends the others, and the code is GIVE_UP.
    """
    repeated = Upkeep(upkeep or (lambda: None))
    with Signals() as signals:
        stopping, given_up = False, False
        while not stopping and not given_up:
            given_up = not all(child.keep(time.monotonic()) for child in children)
            repeated.run(time.monotonic())
            stopping = signals.wait(TICK_S)
        _drain(children, signals, drain_s + MARGIN_S)
    return GIVE_UP if given_up else 0


def _drain(children: Sequence[Child], signals: Signals, patience_s: float) -> None:
    for child in children:
        child.stop(signal.SIGTERM)
    deadline_s = time.monotonic() + patience_s
    while not all(child.ended() for child in children):
        asked_again = signals.wait(TICK_S)
        if asked_again or time.monotonic() > deadline_s:
            for child in children:
                child.stop(signal.SIGKILL)


def _ending(code: int) -> str:
    """Return how a process ended, in words."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _note(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: that a handler exists makes the signal arrive at the pipe."""
