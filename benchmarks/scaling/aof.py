"""Measures the append-only file of a step, and what other forms of its state would save.

A session writes its whole state with each commit. The row steps sessions of several models through real inputs (random
walks), reads their states, and computes the bytes of each lossless form: zlib of the state, of its byte planes, and of
the byte planes of the difference (XOR) to the state before. `inputs` is what a log of commands would write instead of
the state, with the whole state in every 64th step; `CELLAR_STATE_EVERY=64` is measured on a service of its own that
does that. float16 is half of the state, but has other bits.
"""

import http.client
import io
import json
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.scaling.scene import Row, Scene
from benchmarks.serving import contestants
from benchmarks.serving.bars import Bar

Bytes = NDArray[np.uint8]
Ask = Callable[..., bytes]

NPY = "application/x-npy"
WARM, SAMPLES = 32, 8
"""Steps before the states are read, and steps after which they are."""
STATE_EVERY = 64
"""Steps between two whole states of a log of commands."""
SEQUENCE = 16
"""Steps of a sequence."""
KEPT_BYTES = 4096
"""The largest output that is kept to be repeated, by default; it is written with the state."""
LEAST_SAVING = 8
"""Inputs are stored in place of a state that is this many times as long."""
INPUTS_BESIDES = 200
"""Bytes of a redo entry besides its inputs, at most; flags of rows are compressed with these."""
BESIDES = 600
"""Bytes of a commit besides state and output, at most. A state that were written twice would be longer."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A model, and the rows of its session. Only 10 of them are stepped if `some` is true."""

    name: str
    layer: dict[str, Any]
    in_size: int
    rows: int = 1
    some: bool = False


def _recurrent(cell: str, size: int) -> dict[str, Any]:
    return {"type": "recurrent", "cell": cell, "hidden_size": size}


CASES = (
    Case("LSTM 8 -> 64", _recurrent("lstm", 64), 8),
    Case("LSTM 8 -> 512", _recurrent("lstm", 512), 8),
    Case("GRU 8 -> 64", _recurrent("gru", 64), 8),
    Case("GRU 32 -> 1,024", _recurrent("gru", 1024), 32),
    Case("LSTM 8 -> 64, 64 rows", _recurrent("lstm", 64), 8, 64),
    Case("RNN 1 -> 1, 4,096 rows", _recurrent("rnn", 1), 1, 4096),
    Case("RNN 1 -> 1, 10 of 4,096 rows", _recurrent("rnn", 1), 1, 4096, some=True),
)


def measure(scene: Scene) -> Row:
    """Measure each case; the bars are that a commit writes its state once, whatever the kind of request."""
    lines, bars = [], []
    with ExitStack() as stack:
        cores = scene.cores.service, scene.cores.outside
        (other,) = contestants.start_cellars(stack, cores, scene.redis, 1, state_every=str(STATE_EVERY))
        stored = {case: _steps_written(scene, other.port, case, f"aof-inputs-{at}") for at, case in _cases(scene)}
    for index, case in _cases(scene):
        written, states, inputs_bytes = _run(scene, case, f"aof-{index}")
        state_bytes = states[0].nbytes
        besides = written["step"] - state_bytes
        forms = dict(_forms(states)) | {"inputs": inputs_bytes + state_bytes / STATE_EVERY}
        saved = ", ".join(
            f"{name} {size:,.0f} B ({written['step'] / (besides + size):.2f} times)" for name, size in forms.items()
        )
        lines.append(f"aof {case.name}: {written['step']:,.0f} B a step, state {state_bytes:,} B; {saved}")
        lines.append(f"aof {case.name}, CELLAR_STATE_EVERY={STATE_EVERY}: {stored[case]:,.0f} B a step")
        saves = inputs_bytes * LEAST_SAVING <= state_bytes
        bars.append(
            Bar(
                f"aof_{_word(case.name)}_inputs",
                stored[case] - (besides + forms["inputs"] if saves else written["step"]),
                INPUTS_BESIDES,
                at_most=True,
                means="bytes of a step with CELLAR_STATE_EVERY besides those of its inputs",
            )
        )
        for kind, size in written.items():
            outputs = 4 * case.layer["hidden_size"] * case.rows * (SEQUENCE if kind == "sequence" else 1)
            once = state_bytes + (outputs if outputs <= KEPT_BYTES else 0)
            bars.append(
                Bar(
                    f"aof_{_word(case.name)}_{kind}",
                    size - once,
                    BESIDES,
                    at_most=True,
                    means="bytes besides one state",
                )
            )
    return Row(lines, bars)


def _cases(scene: Scene) -> list[tuple[int, Case]]:
    return [*enumerate(CASES[::2] if scene.extent.quick else CASES)]


def _word(name: str) -> str:
    """Return a name as one word, as names of bars are."""
    return re.sub(r"\W+", "_", name.replace(",", "")).lower()


def _forms(states: list[Bytes]) -> Iterator[tuple[str, float]]:
    """Yield the bytes of a state in each form, the median of all."""
    pairs = [*pairwise(states)]
    yield "zlib", median(len(zlib.compress(state.tobytes(), 1)) for state in states)
    yield "planes", median(len(zlib.compress(_planes(state), 1)) for state in states)
    yield "difference", median(len(zlib.compress(_planes(one ^ other), 1)) for one, other in pairs)
    yield "float16", states[0].nbytes / 2


def _planes(state: Bytes) -> bytes:
    """Return the first bytes of all numbers, then the second ones, and so on."""
    return state.reshape(-1, 4).T.tobytes()


@contextmanager
def _asking(port: int) -> Iterator[Ask]:
    """Yield a function that sends a request and returns the body of its answer."""
    server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
        server.request(method, path, body, {"Content-Type": kind, "Accept": "*/*" if kind != NPY else NPY})
        answer = server.getresponse()
        found = answer.read()
        assert answer.status < http.client.MULTIPLE_CHOICES, found
        return found

    yield ask
    server.close()


def _create(ask: Ask, case: Case, name: str) -> tuple[str, NDArray[np.float32]]:
    """Create a model and a session; return where it is stepped, and the inputs of its steps."""
    network = {"in_size": case.in_size, "layers": [case.layer]}
    ask("POST", "/v1/models", json.dumps({"name": name, "network": network, "seed": 1}).encode())
    ask("POST", "/v1/sessions", json.dumps({"session": name, "model": name, "batch_size": case.rows}).encode())
    chosen = range(10) if case.some else range(case.rows)
    steps = np.random.default_rng(0).standard_normal((WARM + STATE_EVERY, len(chosen), case.in_size))
    query = "?rows=" + ",".join(map(str, chosen)) if case.some else ""
    return f"/v1/sessions/{name}/step{query}", (np.cumsum(steps, axis=0) / 4).astype(np.float32)


def _steps_written(scene: Scene, port: int, case: Case, name: str) -> float:
    """Return the bytes of a step of a service, over as many steps as lie between two states."""
    with _asking(port) as ask:
        path, walk = _create(ask, case, name)
        ask("POST", path, _npy(walk[0]), NPY)
        steps = [_npy(one) for one in walk[:STATE_EVERY]]
        return _written(scene, lambda: [ask("POST", path, one, NPY) for one in steps]) / len(steps)


def _run(scene: Scene, case: Case, name: str) -> tuple[dict[str, float], list[Bytes], int]:
    """Step a session. Return the bytes of a step, a bulk line and a sequence, its states, and the bytes of inputs."""
    with _asking(scene.cellar.port) as ask:
        path, walk = _create(ask, case, name)
        session, states = f"/v1/sessions/{name}", list[Bytes]()
        for at in range(WARM + SAMPLES):
            ask("POST", path, _npy(walk[at]), NPY)
            if at >= WARM:
                columns = np.load(io.BytesIO(ask("GET", f"{session}/state", kind=NPY)))
                states.append(np.frombuffer(columns.astype("<f4").tobytes(), np.uint8))
        many = 8 if scene.extent.quick else 32
        steps = [_npy(one) for one in walk[:many]]
        written = {"step": _written(scene, lambda: [ask("POST", path, one, NPY) for one in steps]) / many}
        if not case.some:
            line = json.dumps({"session": name, "input": walk[0].tolist()}).encode() + b"\n"
            written["bulk"] = _written(scene, lambda: ask("POST", "/v1/steps", line, "application/x-ndjson"))
            written["sequence"] = _written(
                scene, lambda: ask("POST", f"{session}/sequence", _npy(walk[:SEQUENCE]), NPY)
            )
    return written, states, walk[0].nbytes


def _npy(array: NDArray[np.floating[Any]]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _written(scene: Scene, work: Any) -> float:
    """Return by how many bytes the append-only file grows."""
    with scene.redis.client() as client:
        before = client.info("persistence")["aof_current_size"]
        work()
        time.sleep(0.05)  # the file is written before the answer; its size is noted soon after
        return float(client.info("persistence")["aof_current_size"] - before)
