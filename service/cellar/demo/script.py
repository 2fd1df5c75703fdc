"""Runs the demo: trains a model, streams two sessions, kills the service during one of them, and compares them."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.demo.series import Series, load, rmse
from cellar.demo.service import Service
from cellar.settings import Settings
from cellar_client import Answer, CellarError, Client, Job, Session

NETWORK: dict[str, Any] = {
    "in_size": 1,
    "layers": [{"type": "recurrent", "cell": "lstm", "hidden_size": 32}, {"type": "dense", "out_size": 1}],
}
SEED = 1

TRAINING: dict[str, Any] = {
    "window": 4 * 52,
    "skip": 2 * 52,
    "batch_size": 4,
    "epochs": 40,
    "optimiser": {"type": "adam", "learning_rate": 0.01, "schedule": "cosine", "clip_norm": 1.0},
    "seed": SEED,
}
"""Windows of four years, of which the first two only fill the state.

These values were chosen with the last four years of the training part; the held-out part was not used.
"""

SESSION_TTL_S = 24 * 60 * 60

SHOWN_EPOCHS = 5
SHOWN_WEEKS = 52
"""A line is printed after this many epochs or weeks."""

PAUSE_S = 0.1
"""Pause between two readings of the training job."""

SILENCE_S = 5.0
"""After this time without a line, one says that the job is still running."""

FAILED = 1

INTERRUPTED = 130
"""Exit code if the demo is interrupted, as that of shells: 128 plus the number of SIGINT."""

say = partial(print, flush=True)


def run(settings: Settings, *, once: bool) -> int:
    """Run the demo and return the exit code: 0 if the network is better than persistence and both sessions are equal.

    Unless `once`, leave the service running until Ctrl-C. Raise StartupError if the service cannot start.
    """
    began_s = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have started us with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    code = INTERRUPTED
    try:
        with Service(settings) as service, Client(service.url) as client:
            code = _play(load(), service, client)
            say(f"Done in {time.monotonic() - began_s:.0f} s.")
            if not once:
                say(f"The service keeps running at {service.url} (API: {service.url}/docs). Ctrl-C stops it.")
                service.wait()
    except CellarError as error:
        say(f"The demo cannot continue: {error}")
        return FAILED
    except KeyboardInterrupt:
        say("Stopped.")
    return code


def _play(series: Series, service: Service, client: Client) -> int:
    _introduce(series)
    model = _train(series, client)
    killed = _stream(series, client, model, half_way=lambda: _kill(service))
    spared = _stream(series, client, model)
    return _judge(series, killed, spared)


def _introduce(series: Series) -> None:
    weeks, first = series.weeks, series.first_held_out
    say(
        f"Weekly CO2 at Mauna Loa, {weeks[0]} to {weeks[-1]}: {first} weeks to train on,"
        f" {series.held_out} held out, from {weeks[first]} on."
    )


def _train(series: Series, client: Client) -> str:
    """Train a new model on the training part and return its version."""
    say("Creating the model. Equations that are new to this machine are compiled, which takes some seconds.")
    made = client.models.create(f"co2-{time.strftime('%Y%m%d-%H%M%S')}", NETWORK, SEED)
    say(f"  {made['model']}: an LSTM of 32 and a dense layer, {made['parameter_count']} parameters.")
    job = client.train(made["model"], *series.training(), **TRAINING)
    reporter = Reporter()
    reporter.report(job)
    while not job.ended:
        time.sleep(PAUSE_S)
        job.refresh()
        reporter.report(job)
    result = job.wait()
    say(f"  {result} is trained.")
    return result


class Reporter:
    """Prints the progress of a training job."""

    def __init__(self) -> None:
        self._state = ""
        self._epochs = 0
        self._began_s = self._spoke_s = time.monotonic()

    def report(self, job: Job) -> None:
        """Print every fifth finished epoch, each change of the state, and after a silence that the job still runs."""
        for line in job.losses[self._epochs :]:
            self._epochs += 1
            if line["epoch"] % SHOWN_EPOCHS == 0:
                self._say(f"epoch {line['epoch']:2} of {TRAINING['epochs']}: loss {line['loss']:.4f}")
        if job.state != self._state:
            self._state = job.state
            self._say(f"training job {job.id}: {self._state}")
        if time.monotonic() - self._spoke_s > SILENCE_S:
            compiling = "" if self._epochs else ", its kernels are being compiled"
            self._say(f"{self._state} for {time.monotonic() - self._began_s:.0f} s{compiling}")

    def _say(self, line: str) -> None:
        say(f"  {line}")
        self._spoke_s = time.monotonic()


@dataclass(frozen=True, slots=True)
class Streamed:
    """The results of a session."""

    outputs: NDArray[np.float32]
    """(n,): the output of each step."""
    bits: bytes
    """The outputs and the final state."""


def _stream(series: Series, client: Client, model: str, half_way: Callable[[], None] | None = None) -> Streamed:
    """Open a session, send the training part in one request, then each held-out week in a request."""
    session = client.session(model=model, ttl_s=SESSION_TTL_S)
    past, _ = series.training()
    session.sequence(past)
    say(f"Session {session.name}: {len(past)} weeks in one request, then {series.held_out} weeks in one request each.")
    answers: list[Answer] = []
    for index, change in enumerate(series.stream()):
        if half_way and index == series.held_out // 2:
            half_way()
            answers.append(_first_after_kill(session, change))
        else:
            answers.append(session.step([change]))
        if index % SHOWN_WEEKS == 0:
            _show(series, index, float(answers[-1].output[0]))
    outputs = np.concatenate([answer.output for answer in answers])
    state = session.state()
    return Streamed(outputs, b"".join([outputs.tobytes(), *(state[name].tobytes() for name in sorted(state))]))


def _first_after_kill(session: Session, change: float) -> Answer:
    """Send the next step like any other; the client repeats it until the service answers."""
    began_s = time.monotonic()
    answer = session.step([change])
    say(f"  The same session continued after {time.monotonic() - began_s:.1f} s, at {session.position}.")
    return answer


def _show(series: Series, index: int, output: float) -> None:
    forecast = series.persistence()[index] + series.scale * output
    week = series.weeks[series.first_held_out + index]
    say(f"  {week}: forecast {forecast:.1f} ppm, measured {series.truth()[index]:.1f}")


def _kill(service: Service) -> None:
    say("  Killing the service (SIGKILL) and starting it again.")
    service.kill()
    service.start()


def _judge(series: Series, killed: Streamed, spared: Streamed) -> int:
    truth = series.truth()
    ours, theirs = rmse(series.forecasts(killed.outputs), truth), rmse(series.persistence(), truth)
    same = killed.bits == spared.bits
    say(f"Forecast error over {len(truth)} held-out weeks (root mean square):")
    say(f"  {'the network':30}{ours:.4f} ppm")
    say(f"  {'persistence (the last value)':30}{theirs:.4f} ppm")
    say(f"  {_verdict(ours, theirs)}")
    say(f"The session during which the service was killed, and the other one: {_comparison(killed, spared)}.")
    return 0 if ours < theirs and same else FAILED


def _verdict(ours: float, theirs: float) -> str:
    if ours < theirs:
        return f"The network's error is {100 * (1 - ours / theirs):.0f} % smaller."
    return "The network is NOT better than persistence."


def _comparison(killed: Streamed, spared: Streamed) -> str:
    if killed.bits == spared.bits:
        return f"all {len(killed.outputs)} outputs and the final state are equal, bit for bit"
    equal = int((killed.outputs == spared.outputs).sum())
    return f"DIFFERENT, {equal} of {len(killed.outputs)} outputs are equal"
