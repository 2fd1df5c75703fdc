"""Makes the kernel kill a child process when its parent dies."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that this process gets when the thread that started it ends."""


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process as soon as the process `parent`, which started it, has ended.

    On other systems than Linux an orphan keeps running. A training job is not run twice then, because it has a lease.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent has died before the call
        os.kill(os.getpid(), signal.SIGKILL)
