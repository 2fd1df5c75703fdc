"""Supervises child processes: restarts them when they crash, and lets them drain when asked to stop."""

import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import FrameType
from typing import Any, Protocol, Self

from cellar.errors import StartupError

log = logging.getLogger(__name__)

STOP = frozenset({signal.SIGINT, signal.SIGTERM})
"""Signals that stop the service."""

RESTART = signal.SIGHUP
"""The signal that replaces the api processes one after the other."""

GIVE_UP = 78
"""Exit code of a child that cannot start with its configuration: EX_CONFIG of sysexits.h."""

TICK_S = 0.1
"""Interval of checks. The end of a child is noticed at once, by a signal."""

BACKOFF_S = (0.1, 5.0)
"""The first and the longest pause before a crashed child is restarted; the pause doubles each time."""

UPKEEP_BACKOFF_S = (0.1, 2.0)
"""The same for upkeep: shorter, so that sessions work again soon after a full disk."""

REPEAT_S = 60.0
"""Least time between two log entries of upkeep with the same reason, seconds."""

STEADY_S = 10.0
"""After a run of this length the next pause is the first again, seconds."""

BRIEF_S = 2.0
"""A run that is shorter than this may be a crash at the start, seconds."""

MARGIN_S = 2.0
"""Time that a draining child has beyond its own limit before it is killed, seconds."""


class HasDescriptor(Protocol):
    """An object with a descriptor, such as a socket."""

    def fileno(self) -> int:
        """Return its descriptor."""


class RestartBackoff:
    """Tells when the next start is due. Times are those of one monotonic clock, in seconds.

    The first pause is `first_s`; each further one is twice as long, up to `longest_s`. After a run of `steady_s` the
    next pause is the first again. The time of a run that was not brief is subtracted from the pause behind it, of which
    `first_s` are left: so it starts no more often than something that crashes at once.
    """

    def __init__(self, first_s: float, longest_s: float, steady_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._steady_s = steady_s
        self._pause_s = first_s
        self._started_s = float("-inf")
        self._due_s = float("-inf")

    def is_due(self, now_s: float) -> bool:
        """Return whether the pause is over."""
        return now_s >= self._due_s

    def started(self, now_s: float) -> None:
        """Record a start."""
        self._started_s = now_s

    def failed(self, now_s: float) -> float:
        """Record that the last start failed or what it started has ended. Return the pause before the next, seconds."""
        run_s = now_s - self._started_s
        if run_s > self._steady_s:
            self._pause_s = self._first_s
        pause_s = self._pause_s if run_s < BRIEF_S else max(self._first_s, self._pause_s - run_s)
        self._due_s = now_s + pause_s
        self._pause_s = min(2 * self._pause_s, self._longest_s)
        return pause_s


class Signals:
    """A context in which signals can be waited for."""

    def __enter__(self) -> Self:
        """Install handlers for RESTART, the signals in STOP, and SIGCHLD."""
        self._undo = ExitStack()
        self._read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._undo.callback(os.close, self._read)
        self._undo.callback(os.close, write)
        self._undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(write, warn_on_full_buffer=False))
        for number in (*STOP, RESTART, signal.SIGCHLD):
            self._undo.callback(signal.signal, number, signal.signal(number, _note))
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the handlers."""
        self._undo.close()

    def wait(self, timeout_s: float, *others: HasDescriptor) -> set[int]:
        """Wait for a signal, the timeout, or until one of the others is readable; return the signals that arrived."""
        watched: list[Any] = [self._read, *others]
        ready, _, _ = select.select(watched, [], [], timeout_s)
        return set(os.read(self._read, 4096)) if self._read in ready else set()


class ChildProcess:
    """A process that is kept running."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        inherit: Sequence[int] = (),
        started: Callable[[str, int], object] = lambda _name, _pid: None,
    ) -> None:
        """`started` is called with the name and the id of each process that is started."""
        self.name = name
        self._note_start = started
        self._command = command
        self._inherit = inherit
        self._process: subprocess.Popen[bytes] | None = None
        self._backoff = RestartBackoff(*BACKOFF_S, STEADY_S)

    def keep(self, now_s: float) -> bool:
        """Start it if it does not run and its pause is over; return False if it ended with GIVE_UP."""
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
        """Send it a signal if it runs."""
        if self._process:
            self._process.send_signal(number)

    def ended(self) -> bool:
        """Return whether it does not run."""
        return self._process is None or self._process.poll() is not None

    @property
    def pid(self) -> int:
        """The id of the process, 0 if it does not run."""
        return self._process.pid if self._process else 0

    def _open(self, command: Sequence[str], inherit: Sequence[int]) -> "subprocess.Popen[bytes]":
        # A session of its own, because Ctrl-C in the terminal is for the parent, which stops its children in order.
        return subprocess.Popen(command, pass_fds=inherit, start_new_session=True)

    def _start(self, now_s: float) -> None:
        self._backoff.started(now_s)
        try:
            self._process = self._open(self._command, self._inherit)
            self._note_start(self.name, self._process.pid)
        except OSError as error:  # no memory, process or file to spare now
            pause_s = self._backoff.failed(now_s)
            log.error("the %s process cannot be started: %s; the next try is in %.1f s", self.name, error, pause_s)


class Apis(Protocol):
    """The api processes, which are kept running as the other children are, and can be replaced."""

    def keep(self, now_s: float) -> bool:
        """Do what is due; return False if one ended with GIVE_UP."""

    def restart(self) -> None:
        """Begin to replace all of them, one after the other."""

    def channels(self) -> Sequence[HasDescriptor]:
        """Return the channels that become readable when there is something to do."""

    def running(self) -> Sequence[ChildProcess]:
        """Return the processes that are to be stopped."""


class Upkeep:
    """An action that is repeated. Its errors are logged, and it is tried again after growing pauses."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action
        self._backoff = RestartBackoff(*UPKEEP_BACKOFF_S, STEADY_S)
        self._failed = True
        """True before the first run and after a failure."""
        self._logged: tuple[str, float] = ("", float("-inf"))
        """The reason that was logged last, and when."""

    def run(self, now_s: float) -> None:
        """Run the action, unless a pause after a failure is not over."""
        if not self._backoff.is_due(now_s):
            return
        if self._failed:
            self._backoff.started(now_s)
        try:
            self._action()
            self._failed = False
        except StartupError as error:
            self._fail(now_s, error.detail)
        except Exception:
            log.exception("upkeep failed")
            self._fail(now_s, "upkeep failed")

    def _fail(self, now_s: float, reason: str) -> None:
        self._failed = True
        pause_s = self._backoff.failed(now_s)
        text, logged_s = self._logged
        if reason != text or now_s - logged_s >= REPEAT_S:
            self._logged = reason, now_s
            log.error("%s; the next try is in %.1f s", reason, pause_s)


def supervise(
    children: Sequence[ChildProcess],
    upkeep: Callable[[], object] | None,
    drain_s: float,
    apis: Apis | None = None,
) -> int:
    """Run the children until a signal asks to stop, then let them drain; return the exit code.

    `upkeep` is called between checks of the children. If a child ends with GIVE_UP, the others are stopped and the exit
    code is GIVE_UP. SIGHUP replaces the api processes one after the other, or stops the service if its
    terminal is gone.
    """
    repeated = Upkeep(upkeep or (lambda: None))
    has_terminal = _has_terminal()
    with Signals() as signals:
        stopping, given_up = False, False
        while not stopping and not given_up:
            now_s = time.monotonic()
            kept = [child.keep(now_s) for child in children]
            given_up = not all(kept) or not (apis is None or apis.keep(now_s))
            repeated.run(now_s)
            received = signals.wait(TICK_S, *([] if apis is None else apis.channels()))
            stopping = not STOP.isdisjoint(received)
            if RESTART in received:
                stopping = stopping or (has_terminal and not _has_terminal())
                if apis is not None:
                    apis.restart()
        _drain([*children, *([] if apis is None else apis.running())], signals, drain_s + MARGIN_S)
    return GIVE_UP if given_up else 0


def _has_terminal() -> bool:
    """Return whether this process has a controlling terminal. SIGHUP is also sent when that was closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _drain(children: Sequence[ChildProcess], signals: Signals, patience_s: float) -> None:
    for child in children:
        child.stop(signal.SIGTERM)
    deadline_s = time.monotonic() + patience_s
    while not all(child.ended() for child in children):
        asked_again = not STOP.isdisjoint(signals.wait(TICK_S))
        if asked_again or time.monotonic() > deadline_s:
            for child in children:
                child.stop(signal.SIGKILL)


def _ending(code: int) -> str:
    """Return a text that says how a process ended."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _note(_number: int, _frame: FrameType | None) -> None:
    """Do nothing. Signals are written to the wakeup pipe only if they have a handler."""
