"""Measures times on machines with other load: in interleaved rounds, whose samples are compared in pairs.

A disturbance of the machine slows all samples of a round, so ratios are computed within each round.
"""

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

Repeat = Callable[[int], object]
"""A function that repeats what is measured a given number of times."""

SAMPLE_S = 0.002
"""The shortest sample in seconds: ten thousand times the resolution of the clock."""


_TRIES, _WAITED, _LONG_S = 4, 1.05, 0.03


@dataclass(frozen=True, slots=True)
class Pace:
    """The number of repetitions in a sample, and the approximate seconds of one repetition."""

    loops: int
    seconds: float


def pace(repeat: Repeat, sample_s: float = SAMPLE_S, pause_s: float = 0.0) -> Pace:
    """Return the pace for samples of `sample_s` seconds or more, after a pause and a repetition that is not counted.

    The first repetition may allocate memory, compile or rearrange weights. If it were counted, a sample could
    have only one repetition, which would begin with cold caches after the samples of others.
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
    """Return for each the seconds of one repetition in each round; every other round has the reverse order.

    There is a pause of `pause_s` before each sample.
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
    """Return a percentile of the times of single calls, in seconds."""
    with _no_collection():
        times = sorted(_time(repeat, 1) for _ in range(calls))
    return times[min(calls - 1, math.ceil(calls * percent / 100) - 1)]


def best_rate(work: float, repeat: Repeat, *, samples: int = 7, sample_s: float = 0.005) -> float:
    """Return `work` per second of the fastest sample, which is the least disturbed one."""
    loops = pace(repeat, sample_s).loops
    return work * loops / min(_time(repeat, loops) for _ in range(samples))


def undisturbed(repeat: Repeat, loops: int) -> float:
    """Return the seconds of `loops` repetitions, measured again if the process had to wait for a core.

    The process had to wait if more time has passed than CPU time was used. Long samples are repeated once at most.
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
    """Keep the garbage collector from running during a sample."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
