"""Measures a step of a hosted graph beside the bare runtime: `.venv-bench/bin/python -m benchmarks.onnx_graph`.

The graph is the voice detector of the package silero-vad: 512 samples of sound and the 64 before them give the
probability of speech, with a state of 256 numbers. Both run in this process on one thread, the one called directly and
the other as sessions call it, which unpacks the state of a session, checks the numbers, and packs the state again.
Before that, both must give the same bits in each of 200 steps.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import interleave, pace, paired_ratio
from cellar.onnx_graph.graph_network import GraphNetwork, open_graph
from cellar.onnx_graph.publishing.host import host_graph
from cellar.onnx_graph.spec import GraphOptions

Floats = NDArray[np.float32]

FRAME, CONTEXT, STATE = 512, 64, (2, 1, 128)
OPTIONS: dict[str, Any] = {"shapes": {"input": ["batch", FRAME + CONTEXT]}, "constants": {"sr": 16000}}
STEPS = 200
ROUNDS = 41
BAR = 1.3
"""The most that a step may cost, in multiples of the bare runtime."""


def model_file() -> bytes:
    """Return the file in the package silero-vad, which is not imported."""
    from importlib.util import find_spec

    found = find_spec("silero_vad")
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "data" / "silero_vad.onnx").read_bytes()


def frames(count: int, seed: int = 0) -> Floats:
    """Return inputs (T, 576): noise in words, each frame with the end of the one before it."""
    rng = np.random.default_rng(seed)
    loudness = np.repeat(rng.uniform(0, 0.3, count // 8 + 1), 8 * FRAME)[: count * FRAME]
    sound = np.concatenate([np.zeros(CONTEXT), rng.normal(0, 1, count * FRAME) * loudness]).astype(np.float32)
    return np.stack([sound[index * FRAME : (index + 1) * FRAME + CONTEXT] for index in range(count)])


class Bare:
    """The runtime, called as its documentation says."""

    def __init__(self, data: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._rate = np.array(16000, np.int64)
        self.state = np.zeros(STATE, np.float32)

    def step(self, frame: Floats) -> Floats:
        """Return the output of a frame (1, 576), and keep the state."""
        output, self.state = self._session.run(None, {"input": frame, "state": self.state, "sr": self._rate})
        return np.asarray(output)


class Hosted:
    """The graph as sessions call it: the state is bytes between steps."""

    def __init__(self, data: bytes) -> None:
        self.network: GraphNetwork = open_graph(host_graph(data, GraphOptions.model_validate(OPTIONS)), data)
        self.state = self.network.initial_state(1).tobytes()

    def step(self, frame: Floats) -> Floats:
        """Return the output of a frame (1, 576), and keep the state."""
        run = self.network.advance(frame[None], (self.state,), None, None)
        self.state = run.state.tobytes()
        return np.asarray(run.outputs[0])


def compare(bare: Bare, hosted: Hosted) -> None:
    """Exit unless both give the same bits."""
    for index, frame in enumerate(frames(STEPS)):
        expected, found = bare.step(frame[None]), hosted.step(frame[None])
        if expected.tobytes() != found.tobytes() or bare.state.tobytes() != hosted.state:
            sys.exit(f"step {index}: {found} instead of {expected}")


def main() -> None:
    """Compare, measure, print, and exit 1 over the bar."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    data = model_file()
    bare, hosted = Bare(data), Hosted(data)
    compare(bare, hosted)
    frame = frames(1)

    def repeated(runner: Bare | Hosted, count: int) -> None:
        """Take steps."""
        for _ in range(count):
            runner.step(frame)

    repeats = [lambda count: repeated(bare, count), lambda count: repeated(hosted, count)]
    samples = interleave(repeats, [pace(each) for each in repeats], ROUNDS)
    ratio = paired_ratio(samples[1], samples[0])
    times = [sorted(each)[len(each) // 2] * 1e6 for each in samples]
    print(f"{STEPS} steps with the same bits")
    print(f"bare runtime {times[0]:.1f} us a step, hosted {times[1]:.1f} us")
    print(f"ratio {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f}); at most {BAR}")
    sys.exit(1 if ratio.median > BAR else 0)


if __name__ == "__main__":
    main()
