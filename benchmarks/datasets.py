"""Measures how a CSV of 1 GB becomes a dataset: `python -m benchmarks.datasets`.

The CSV has a minute of five sensors in each row, and is made in a temporary folder. A service with a private Redis gets
it in one request. Printed are the time until the answer, and the most memory that the service with the processes that
it starts has above that of the idle service. `--layout shuffled` has the rows of 1,000 series in random order, which
are sorted. `--megabytes 50` is a quick form.

The memory of a process that trains or forecasts on the dataset is that of `read_all`: it maps the table, and reads all
of it window by window.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np

MEGABYTE = 1_000_000
MOST_S = 120.0
MOST_BYTES = 300 * MEGABYTE
BLOCK_ROWS = 100_000
SERIES = 1000
WINDOW = 512


class Service(NamedTuple):
    """A running service."""

    url: str
    pid: int


def write_csv(path: Path, size: int, layout: str) -> int:
    """Write a CSV of about `size` bytes; return the number of rows."""
    draw = np.random.default_rng(1)
    rows = 0
    with path.open("w") as file:
        file.write(("" if layout == "sorted" else "station,") + "date,temperature,humidity,pressure,wind,power\n")
        while file.tell() < size:
            at = np.arange(rows, rows + BLOCK_ROWS)
            if layout == "shuffled":
                draw.shuffle(at)
            times = np.datetime_as_string(np.datetime64("2000-01-01T00:00") + 60 * at.astype("timedelta64[s]"))
            numbers = draw.normal((20, 60, 1013, 5, 800), (8, 15, 9, 3, 250), (BLOCK_ROWS, 5)).round(3).tolist()
            names = [""] * BLOCK_ROWS if layout == "sorted" else [f"s{number}," for number in (at % SERIES).tolist()]
            file.writelines(
                f"{name}{time},{a},{b},{c},{d},{e}\n"
                for name, time, (a, b, c, d, e) in zip(names, times.tolist(), numbers, strict=True)
            )
            rows += BLOCK_ROWS
    return rows


@contextmanager
def running_service(folder: str) -> Iterator[Service]:
    """Yield a service with a private Redis and one api process."""
    environment = os.environ | {"CELLAR_PORT": "0", "CELLAR_WORKER": "false", "CELLAR_DATA_DIR": folder}
    environment["CELLAR_PROCESSES"] = "1"
    command = [sys.executable, "-m", "cellar.cli", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        found = (re.search(r"(?:ready|listens) at (\S+)", line) for line in process.stdout)
        url = next(match[1] for match in found if match)
        try:
            yield Service(url, process.pid)
        finally:
            process.terminate()


def family(pid: int) -> list[int]:
    """Return a process and all that it has started, without Redis."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        name, rest = text[text.index("(") + 1 :].rsplit(")", 1)
        if "redis" not in name:
            parents[int(path.parent.name)] = int(rest.split()[1])
    found, size = {pid}, 0
    while len(found) > size:
        size = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return sorted(found)


def memory_bytes(pid: int) -> int:
    """Return the memory of a process and its children that no file has, and the parts of files that they map."""
    total = 0
    for each in family(pid):
        try:
            status = Path(f"/proc/{each}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        total += 1024 * int(found[1]) if found else 0
    return total


class Watch(threading.Thread):
    """Notes the most memory of a process and its children."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self.most = 0
        self._ended = threading.Event()

    def run(self) -> None:
        """Look ten times a second."""
        while not self._ended.wait(0.1):
            self.most = max(self.most, memory_bytes(self._pid))

    def stop(self) -> int:
        """Return the most memory that was seen."""
        self._ended.set()
        self.join()
        return self.most


def sent(url: str, path: Path, layout: str) -> float:
    """Send the file and return the seconds until the answer."""
    query = {"name": "readings", "targets": "temperature"} | ({} if layout == "sorted" else {"series": "station"})
    began = time.perf_counter()
    with path.open("rb") as file, httpx.Client(timeout=3600) as client:
        answer = client.post(f"{url}/v1/datasets", params=query, content=file, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 201, answer.text
    return time.perf_counter() - began


READER = f"""
import sys
from pathlib import Path
import numpy as np
from cellar.datasets.storage.table_file import open_table
from cellar.memory.file_mapping import release_pages
from cellar.store.catalogue.blobs.directory import FileBlobs
blobs = FileBlobs(Path(sys.argv[1]))
def memory(): return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
before = most = memory()
table = open_table(blobs.map(sys.argv[2]))
for begin in range(0, table.rows, {WINDOW * 256}):
    window = [np.array(values[begin : begin + {WINDOW * 256}]) for values in table.values.values()]
    for values in table.values.values():
        release_pages(values)
    most = max(most, memory())
print(most - before)
"""


def read_all(folder: Path) -> int:
    """Return the most memory above idle of a process that reads the whole table window by window."""
    (blob,) = [path.name for path in (folder / "datasets").rglob("*") if path.is_file()]
    done = subprocess.run(
        [sys.executable, "-c", READER, str(folder / "datasets"), blob], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def main() -> None:
    """Print the figures. The exit code is 1 if one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--layout", choices=("sorted", "shuffled"), default="sorted")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "readings.csv"
        rows = write_csv(path, options.megabytes * MEGABYTE, options.layout)
        size = path.stat().st_size
        print(f"a CSV of {size / MEGABYTE:,.0f} MB, {rows:,} rows, {options.layout}")
        with running_service(f"{folder}/data") as service:
            httpx.get(f"{service.url}/v1/datasets").raise_for_status()
            idle = memory_bytes(service.pid)
            watch = Watch(service.pid)
            watch.start()
            seconds = sent(service.url, path, options.layout)
            more = watch.stop() - idle
            mapped = read_all(Path(folder) / "data")
    most_s = MOST_S * max(0.1, size / (1000 * MEGABYTE))
    print(f"{'until the answer':32}{seconds:9.1f} s   bar {most_s:.0f} s, {size / seconds / MEGABYTE:.1f} MB/s")
    print(f"{'service above idle':32}{more / MEGABYTE:9.0f} MB  bar {MOST_BYTES / MEGABYTE:.0f} MB")
    print(f"{'worker above idle':32}{mapped / MEGABYTE:9.0f} MB  bar {MOST_BYTES / MEGABYTE:.0f} MB")
    if seconds > most_s or max(more, mapped) > MOST_BYTES:
        sys.exit(1)


if __name__ == "__main__":
    main()
