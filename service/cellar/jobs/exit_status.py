"""Describes how a process ended, for the error of its job."""

import os
import signal

_MEMORY = "the system kills a process so when it needs more memory than there is"
_FAULT = "a fault of the service, not of the job: its maintainers need the job's request to find it"

_MEANINGS = {
    signal.SIGKILL: _MEMORY,
    signal.SIGSEGV: _FAULT,
    signal.SIGBUS: _FAULT,
    signal.SIGILL: _FAULT,
    signal.SIGFPE: _FAULT,
    signal.SIGABRT: _FAULT,
}


def describe_exit(status: int) -> str:
    """Return the signal that killed a process, or its exit status, from the status of `os.waitpid`."""
    if not os.WIFSIGNALED(status):
        return f"exit status {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    try:
        name = signal.Signals(number)
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"
    meaning = _MEANINGS.get(name)
    return name.name if meaning is None else f"{name.name} ({meaning})"
