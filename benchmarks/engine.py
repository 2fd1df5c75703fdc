"""Compares the time of steps with PyTorch, ONNX Runtime and OpenVINO: `make bench-engine`.

Same weights, same numbers (checked first), same threads; NumPy arrays in, new NumPy arrays out, the state carried.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import cases, machine, ours, report
from benchmarks.command import Options, measured
from benchmarks.peers import peers
from benchmarks.race import carried, race
from benchmarks.report import Result
from benchmarks.tile import ROWS, tile_flops
from benchmarks.timing import interleave, pace, paired_ratio
from benchmarks.weights import draw_inputs, draw_states, draw_weights
from cellar.engine import KernelCache, Target, target_here

SEED = 3

BINDINGS = 6
"""How often both cells are bound to new memory: the addresses can make one of two equal cells 4% faster."""


def main() -> None:
    """Measure, print, and write the file."""
    measured(__doc__, "engine", ours.warm, _measure)


def _measure(cache: KernelCache, given: Options) -> tuple[dict[str, Any], list[Result]]:
    found = _measure_machine(cache)
    results = _measure_cases(cache, given)
    return found | _measure_custom(cache, given), results


def _measure_machine(cache: KernelCache) -> dict[str, Any]:
    """Print and return the peaks of one core, and the rate that the register tile alone reaches."""
    target, l2, found = cache.target, machine.l2_bytes() // 2, {}
    for size in (l2, machine.MEMORY_BYTES):
        found[f"read_{size // 1024}_kib"] = rate = machine.read_rate(target, size)
        print(f"one core reads {rate / 1e9:.1f} GB/s from {size / 1024:.0f} KiB")
    targets = {target.cpu: target, "x86-64-v3": target_here("x86-64-v3")} if target.cpu == "x86-64-v4" else {"": target}
    for each in targets.values():
        found[f"peak_{each.cpu}"] = peak = machine.peak_flops(each)
        print(f"{each.cpu}: multiply-adds in registers {peak / 1e9:.1f} GFLOP/s")
        for rows in ROWS:
            found[f"tile_{each.cpu}_{rows}"] = rate = tile_flops(cache.directory, each, rows)
            print(f"{each.cpu}: tile, hidden 256, {rows} rows: {rate / 1e9:.1f} GFLOP/s, {rate / peak:.0%} of that")
    return found


def _measure_cases(cache: KernelCache, given: Options) -> list[Result]:
    """Print and return the results of all cases."""
    chosen = [case for case in cases.inference() if given.only in case.name]
    results: list[Result] = []
    for case in chosen:
        random = np.random.default_rng(SEED)
        weights = draw_weights(case, random)
        data = draw_inputs(case, random), draw_states(case, random)
        others = peers(case, weights, given.threads)
        if not results:
            print(report.header([peer.name for peer in others]))
        mine = ours.cellar(case, weights, cache, given.threads)
        parts = {}
        if case.single_step:
            parts["bf16"] = carried(ours.cellar_bfloat16(case, weights, cache), *data)
        for result in race(case, [mine], others, data, given.effort, parts):
            results.append(_with_reads(result, cache.target))
            print(report.line(results[-1]), flush=True)
    return results


def _with_reads(result: Result, target: Target) -> Result:
    """Return the result of a single step with the share of the machine's memory bandwidth that it reaches."""
    if not result.case.single_step or result.variant:
        return result
    return replace(result, of_reads=result.weight_gb * 1e9 / machine.read_rate(target, result.case.weight_bytes))


def _measure_custom(cache: KernelCache, given: Options) -> dict[str, Any]:
    """Print and return the time of an LSTM as custom equations, divided by that of the built-in one."""
    found = {}
    for case in [case for case in cases.CUSTOM if given.only in case.name]:
        random = np.random.default_rng(SEED)
        weights = draw_weights(case, random)
        data = draw_inputs(case, random), draw_states(case, random)
        custom: list[float] = []
        built_in: list[float] = []
        for _ in range(BINDINGS):
            repeats = [carried(make(case, weights, cache), *data) for make in (ours.cellar_custom, ours.cellar)]
            both = interleave(repeats, [pace(repeat) for repeat in repeats], math.ceil(given.effort.rounds / 2))
            custom += both[0]
            built_in += both[1]
        ratio = paired_ratio(custom, built_in)
        found[f"custom {case.name}"] = [ratio.median, ratio.low, ratio.high]
        print(f"custom over built-in, {case.name}: {ratio.median:.3f} [{ratio.low:.3f} {ratio.high:.3f}]")
    return found


if __name__ == "__main__":
    main()
