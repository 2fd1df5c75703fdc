"""Measures the time to compile or load a new cell of the size of an LSTM, and the size of its machine code.

`python -m benchmarks.compile` prints medians; run it on an idle machine. The kernels that all cells share are
compiled before, as in a service after its first start. With `--many 300` it compiles 300 different cells in a row
and prints the memory, processes and files that remain.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from cellar.cells import BUILT_IN
from cellar.engine import Cell, KernelCache, build_cell, compile_cells

REPEATS = 5

MEBIBYTE = 1024 * 1024

SIZES = {"in": 128, "hidden": 128}

_FRESH = """
import sys, time
from pathlib import Path
begin = time.perf_counter()
from benchmarks.compile import load_s
print(time.perf_counter() - begin, load_s(Path(sys.argv[1]), training=sys.argv[2] == "True"))
"""

_CHILD = """
import resource, sys
from pathlib import Path
from cellar.engine import KernelCache
KernelCache(Path(sys.argv[1]) / "kernels").warm([sys.stdin.read()])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss // 1024)
"""


def lstm() -> Cell:
    """Return the cell."""
    return build_cell(BUILT_IN["lstm"].text(), SIZES)


def load_s(directory: Path, *, training: bool) -> float:
    """Return the seconds from equations to loaded kernels: the inference kernel, or all three."""
    begin = time.perf_counter()
    compile_cells([lstm()], KernelCache(directory), training=training)
    return time.perf_counter() - begin


def cold_s(*, training: bool) -> float:
    """Return these seconds if the cache directory has only the kernels that all cells share."""
    with tempfile.TemporaryDirectory() as directory:
        cache = KernelCache(Path(directory) / "kernels")
        cache.warm(cache.library)
        return load_s(Path(directory) / "kernels", training=training)


def fresh_s(directory: Path, *, training: bool) -> tuple[float, float]:
    """Return the seconds that a fresh process takes to import the engine, and to load from a filled directory."""
    command = [sys.executable, "-c", _FRESH, str(directory), str(training)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
    importing, loading = map(float, done.stdout.split())
    return importing, loading


def machine_code_bytes(directory: Path) -> tuple[int, int]:
    """Return the bytes of machine code in memory of the cell's three kernels, and of what all cells share."""
    cache = KernelCache(directory)
    cache.load(cache.library)
    shared = cache.footprint.size_bytes
    compile_cells([lstm()], cache, training=True)
    return cache.footprint.size_bytes - shared, shared


def chain(name: str, count: int) -> Cell:
    """Return a cell with `count` nested calls of one function, or with as many matrices and biases."""
    names = [f"a{number}" for number in range(count)]
    pairs = list(zip(["x", *names], names, strict=False))
    if name == "matrix":
        lines = [f"param W{n}: hidden x hidden\nparam b{n}: hidden" for n in range(count)]
        lines += [f"{after} = tanh(W{n} @ {before} + b{n})" for n, (before, after) in enumerate(pairs)]
    else:
        lines = [f"{after} = {name}({before})" for before, after in pairs]
    return build_cell("\n".join([*lines, f"h = 0.5 * h + {names[-1]}"]), {"in": 16, "hidden": 16})


def costs(text: str) -> tuple[float, int]:
    """Return the processor seconds and the MiB that the compiler takes for the text of a kernel."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-c", _CHILD, directory]
        done = subprocess.run(command, input=text, env=os.environ, capture_output=True, text=True, check=True)
    seconds, mebibytes = done.stdout.split()
    return float(seconds), int(mebibytes)


def print_largest() -> None:
    """Print the cost of the largest cells that the language allows, and of an LSTM for comparison."""
    cells = {"an LSTM": lstm(), "57 layer norms": chain("layernorm", 57), "57 times softmax": chain("softmax", 57)}
    cells |= {"60 times softplus": chain("softplus", 60), "20 matrices and biases": chain("matrix", 20)}
    for name, cell in cells.items():
        kernels = {"forward": cell.forward_kernel(save=False), "backward": cell.backward_kernel()}
        for kind, kernel in kernels.items():
            seconds, mebibytes = costs(kernel.text)
            print(f"{name}, {kind}: {seconds:.1f} s of processor time and {mebibytes} MiB")


def print_many(count: int) -> None:
    """Compile different cells in a row, drop each before the next, and print what remains."""
    with tempfile.TemporaryDirectory() as directory:
        cache = KernelCache(Path(directory) / "kernels")
        cache.warm(cache.library)
        for number in range(count + 1):
            if number in (0, 1, count // 3, 2 * count // 3, count):
                files = list((Path(directory) / "kernels").iterdir())
                footprint, disk_bytes = cache.footprint, sum(file.stat().st_size for file in files)
                print(
                    f"after {number} cells: {resident_bytes() / MEBIBYTE:.0f} MiB of memory,"
                    f" {footprint.kernels} kernels of {footprint.size_bytes / MEBIBYTE:.1f} MiB loaded,"
                    f" {children()} compilers, {len(files)} files of {disk_bytes / MEBIBYTE:.1f} MiB"
                )
            # the bits of the number choose the operations, so each number gives another structure
            terms = "".join(
                f" + tanh(h * {n + 2})" if number >> n & 1 else f" - sigmoid(h * {n + 2})" for n in range(10)
            )
            compile_cells([build_cell(f"h = 0.5 * h + x{terms}", {"in": 4, "hidden": 4})], cache)


def resident_bytes() -> int:
    """Return the memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children() -> int:
    """Return the number of child processes."""
    return len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--many", type=int, metavar="CELLS", help="compile this number of different cells in a row instead"
    )
    many: int | None = parser.parse_args().many
    if many is not None:
        print_many(many)
        return
    for training, name in ((False, "the inference kernel"), (True, "all three kernels")):
        times = [cold_s(training=training) for _ in range(REPEATS)]
        print(f"cold, {name}: {median(times):.2f} s ({min(times):.2f} to {max(times):.2f})")
    with tempfile.TemporaryDirectory() as parent:
        directory = Path(parent) / "kernels"
        load_s(directory, training=True)
        for training, name in ((False, "the inference kernel"), (True, "all three kernels")):
            pairs = [fresh_s(directory, training=training) for _ in range(REPEATS)]
            importing, loading = (median(times) for times in zip(*pairs, strict=True))
            print(f"disk cache, fresh process, {name}: {loading:.3f} s, after {importing:.3f} s of imports")
        own, shared = machine_code_bytes(directory)
    print_largest()
    print(f"machine code in memory: {own} bytes of the cell's three kernels, {shared} bytes that all cells share")


if __name__ == "__main__":
    main()
