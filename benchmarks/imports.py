"""Measures what it takes to bring a model of 4 million weights: `python -m benchmarks.imports`.

An LSTM with 16 inputs and 1,000 hidden units is sent as a state dict of PyTorch and, in a second service, as a file
with Cellar's names. Printed are the time from the first byte of the request to the answer of the first step, with warm
kernels, and by how many times the weights' bytes the memory of the api process grows: at its peak, read from the
kernel's counter, and after the first step.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from safetensors.numpy import save

IN, HIDDEN = 16, 992
FILE = {"Content-Type": "application/safetensors"}


def state_dict(hidden: int) -> dict[str, Any]:
    """Return the tensors of an LSTM as PyTorch has them."""
    rng = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (4 * hidden, IN), "weight_hh_l0": (4 * hidden, hidden), "bias_ih_l0": (4 * hidden,)}
    shapes["bias_hh_l0"] = shapes["bias_ih_l0"]
    return {name: (rng.normal(size=shape) / hidden).astype(np.float32) for name, shape in shapes.items()}


def stacked(hidden: int) -> bytes:
    """Return these tensors as a file."""
    return bytes(save(state_dict(hidden)))


def native(storage: str, hidden: int) -> bytes:
    """Return the same as a file with Cellar's names, for matrices that are stored so."""
    tensors = state_dict(hidden)
    found = {f"0.Wi_{gate}": part for gate, part in zip("ifgo", np.split(tensors["weight_ih_l0"], 4), strict=True)}
    found |= {f"0.Wh_{gate}": part for gate, part in zip("ifgo", np.split(tensors["weight_hh_l0"], 4), strict=True)}
    found |= {f"0.b_{gate}": part for gate, part in zip("ifgo", np.split(tensors["bias_ih_l0"], 4), strict=True)}
    layers = [{"type": "recurrent", "cell": "lstm", "hidden_size": hidden}]
    network = {"in_size": IN, "layers": layers, "weight_storage": storage}
    return save({name: np.ascontiguousarray(part) for name, part in found.items()}, {"network": json.dumps(network)})


def api_process(parent: int) -> Path:
    """Return the directory in /proc of the child of a service that answers requests."""
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in task.read_text().split():
            if b"\0api\0" in (Path("/proc") / child / "cmdline").read_bytes():
                return Path("/proc") / child
    raise ProcessLookupError(parent)


def memory_bytes(process: Path, what: str) -> int:
    """Return a line of /proc/PID/status (`VmRSS`, `VmHWM`) in bytes."""
    lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return int(lines[what].split()[0]) * 1024


def measure(data: bytes, small: bytes) -> Iterator[str]:
    """Yield what is measured in a service that has sent and stepped a small model, with kernels of one before it.

    The small model is of the same kind, so that its code is loaded, which takes memory of its own.
    """
    with tempfile.TemporaryDirectory() as directory:
        with started(Path(directory)) as (url, _), httpx.Client(base_url=url, timeout=120) as http:
            bring(http, "kernels", data)
        with started(Path(directory)) as (url, process), httpx.Client(base_url=url, timeout=120) as http:
            bring(http, "warm", small)
            (process / "clear_refs").write_text("5")  # the peak begins again
            before = memory_bytes(process, "VmRSS")
            began = time.perf_counter()
            bring(http, "large", data)
            yield f"first step after {time.perf_counter() - began:.2f} s"
            grown = {name: memory_bytes(process, name) - before for name in ("VmHWM", "VmRSS")}
            yield f"memory grows by {grown['VmHWM'] / len(data):.2f} times the file at its peak"
            yield f"and by {grown['VmRSS'] / len(data):.2f} times after the first step"


@contextmanager
def started(directory: Path) -> Iterator[tuple[str, Path]]:
    """Yield the address of a service on this directory, and where its api process stands in /proc."""
    own = {name: str(directory / name.lower()) for name in ("CELLAR_DATA_DIR", "CELLAR_CACHE_DIR")}
    own |= {"CELLAR_PORT": "0", "CELLAR_LOG_LEVEL": "warning", "CELLAR_DURABILITY": "relaxed", "CELLAR_WORKER": "false"}
    own["CELLAR_PROCESSES"] = "1"
    command = [sys.executable, "-m", "cellar.cli", "serve"]
    with subprocess.Popen(command, env=os.environ | own, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = next(found[1] for line in process.stdout if (found := re.search(r"ready at (\S+)", line)))
            yield url, api_process(process.pid)
        finally:
            process.terminate()
            process.communicate()


def bring(http: httpx.Client, name: str, data: bytes) -> None:
    """Send a model, open a session of it and take a step."""
    http.put(f"/v1/models/{name}", content=data, headers=FILE).raise_for_status()
    http.post("/v1/sessions", json={"session": name, "model": name}).raise_for_status()
    http.post(f"/v1/sessions/{name}/step", json={"input": [0.1] * IN}).raise_for_status()


def main() -> None:
    """Print the measurements."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for what, made in (
        ("state dict of PyTorch", stacked),
        ("Cellar's names", partial(native, "float32")),
        ("bfloat16 storage", partial(native, "bfloat16")),
    ):
        data = made(HIDDEN)
        print(f"{what}, {len(data) / 2**20:.1f} MiB: {', '.join(measure(data, made(8)))}", flush=True)


if __name__ == "__main__":
    main()
