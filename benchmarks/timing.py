"""Times on machines that others use too: interleaved, in alternating order, and compared in pairs.

What slows the machine for a while slows everybody in a round, so ratios are taken round by round.
"""

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

Repeat = Callable[[int], object]
"""Does what is measured so many times."""

SAMPLE_S = 0.002
"""Seconds that a sample takes at least: ten thousand times the clock's resolution."""


_TRIES, _WAITED, _LONG_S = 4, 1.05, 0.03


@dataclass(frozen=True, slots=True)
class Pace:
    """How often something is done in a sample, and the seconds that one time takes about."""

    loops: int
    seconds: float


def pace(repeat: Repeat, sample_s: float = SAMPLE_S, pause_s: float = 0.0) -> Pace:
    """Return the pace of a sample of `sample_s` seconds or more, after a pause and a first time that does not count.

    The first time may make what later ones only use: code, memory, weights in another order. Taken for the pace, it
    would make every sample a single time, with nothing of the data in the caches after what others did in between.
    """
    if pause_s:
        time.sleep(pause_s)
    repeat(1)
    loops, seconds = 1, undisturbed(repeat, 1)
    while seconds < sample_s:
        loops = max(2 * loops, math.ceil(loops * sample_s / max(seconds, 1e-9)))
        seconds = undisturbed(repeat, loops)
    return Pace(loops, seconds / loops)


def interleave(
    repeats: Sequence[Repeat], paces: Sequence[Pace], rounds: int, pause_s: float = 0.0
) -> list[list[float]]:
    """Return for each the seconds of one time, a sample a round; every other round goes backwards.

    Before each sample is a pause, if it is asked for.
    """
    samples: list[list[float]] = [[] for _ in repeats]
    order = list(range(len(repeats)))
    with _no_collection():
        for _ in range(rounds):
            for index in order:
                if pause_s:
                    time.sleep(pause_s)
                loops = paces[index].loops
                samples[index].append(undisturbed(repeats[index], loops) / loops)
            order.reverse()
    return samples


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of ratios, and an interval that holds the true one in 19 of 20 cases (of five samples, 15 of 16)."""

    median: float
    low: float
    high: float


def paired_ratio(over: Sequence[float], under: Sequence[float]) -> Ratio:
    """Return over / under, sample by sample. The interval is that of the sign test."""
    ratios = sorted(a / b for a, b in zip(over, under, strict=True))
    count = len(ratios)
    tail, below = 0, 0
    while 2 * (tail + math.comb(count, below)) <= 2**count / 20:
        tail += math.comb(count, below)
        below += 1
    outer = max(below - 1, 0)
    return Ratio(median(ratios), ratios[outer], ratios[-1 - outer])


def percentile(repeat: Repeat, calls: int, percent: float) -> float:
    """Return the seconds within which so many percent of single calls end."""
    with _no_collection():
        times = sorted(_time(repeat, 1) for _ in range(calls))
    return times[min(calls - 1, math.ceil(calls * percent / 100) - 1)]


def best_rate(work: float, repeat: Repeat, *, samples: int = 7, sample_s: float = 0.005) -> float:
    """Return `work` per second of the fastest sample: what a machine can do when nobody disturbs it."""
    loops = pace(repeat, sample_s).loops
    return work * loops / min(_time(repeat, loops) for _ in range(samples))


def undisturbed(repeat: Repeat, loops: int) -> float:
    """Return the seconds of so many loops; again if the process had to wait for a core, at most once if it takes long.

    Waiting shows as a clock that runs ahead of the process's own.
    """
    fastest = math.inf
    for attempt in range(_TRIES):
        spent = time.process_time()
        seconds = _time(repeat, loops)
        spent = time.process_time() - spent
        fastest = min(fastest, seconds)
        if seconds < _WAITED * spent or (attempt > 0 and seconds > _LONG_S):
            break
    return fastest


def _time(repeat: Repeat, loops: int) -> float:
    begin = time.perf_counter()
    repeat(loops)
    return time.perf_counter() - begin


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from running in somebody's sample."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
