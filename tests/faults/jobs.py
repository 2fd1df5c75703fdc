"""Kills of processes that train: each job must run again within ten seconds, and end with equal bits.

The kinds are jobs on arrays and on a dataset, sweeps, and sessions that learn while they are stepped.

Each kill is a round, which has a bound: a round that does not end within it is a fault, and the next one begins.

python -m tests.faults.jobs --kills 50 --only sweeps
"""

import argparse
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import httpx
import numpy as np
from safetensors.numpy import load

from cellar.embedded.binary import find_binaries
from tests.e2e.replica import Replica, environment, serving
from tests.faults.rounds import Found
from tests.redis_process import RedisProcess
from tests.waiting import wait_until

GIVE_UP_S = 100.0
"""A machine with much other work takes this long for a job; a wait that takes longer ends its round."""

REQUEST_S = 60.0
"""A request without an answer is sent again after this."""

ENDED = ("succeeded", "failed", "cancelled")

NETWORK = {
    "in_size": 1,
    "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 8}, {"type": "dense", "out_size": 1}],
}


class Ground:
    """A service with a worker, on a Redis of its own."""

    def __init__(
        self, replica: Replica, http: httpx.Client, epochs: int, say: Callable[[str], None] = lambda _line: None
    ) -> None:
        self.replica = replica
        self.http = http
        self.epochs = epochs
        self.say = say

    def call(self, method: str, path: str, **given: Any) -> Any:
        """Return the answer to a request, which is sent again while the service starts again."""

        def answered() -> httpx.Response | None:
            with suppress(httpx.TransportError):
                found = self.http.request(method, path, **given)
                return None if found.status_code in (502, 503) else found
            return None

        found = wait_until(answered, GIVE_UP_S, f"{method} {path}")
        assert found.is_success, f"{method} {path}: {found.text}"
        is_json = found.content and "json" in found.headers["content-type"]
        return found.json() if is_json else found.content

    def ended(self, path: str) -> Any:
        """Return a job or sweep when it has ended."""

        def look() -> Any:
            found = self.call("GET", path)
            return found if found["state"] in ENDED else None

        found = wait_until(look, GIVE_UP_S, f"the end of {path}")
        assert found["state"] == "succeeded", found
        return found

    def weights(self, version: str) -> dict[str, bytes]:
        """Return the bits of the weights of a version."""
        arrays = load(self.call("GET", f"/v1/models/{version}/weights"))
        return {name: array.tobytes() for name, array in arrays.items()}

    def running(self) -> Any:
        """Return the job that runs now, None without one."""
        return next(iter(self.call("GET", "/v1/jobs", params={"state": "running", "limit": 1})["jobs"]), None)

    def kill(self, random: Random) -> str:
        """Kill the worker, or the process that carries out its job; return which."""
        worker = wait_until(lambda: self.replica.child("worker"), 30, "a worker")
        name = random.choice(("worker", "process of a job"))
        children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
        with suppress(ProcessLookupError):
            os.kill(int(children[0]) if children and name != "worker" else worker, signal.SIGKILL)
        return name if children else "worker"


Begin = Callable[[str], str]
"""Begins a job or a sweep under a key, and returns its path."""


def jobs(ground: Ground, kind: str, begin: Begin, kills: int, random: Random) -> Found:
    """Kill during jobs or sweeps, each a repetition of the first one, which is not disturbed."""
    found = Found(kind, say=ground.say)
    first = ground.ended(begin(f"{kind} undisturbed"))
    path = begin(f"{kind} measured")
    wait_until(partial(_begun, ground, path), GIVE_UP_S, "a running job")
    began = time.monotonic()
    again = ground.ended(path)
    took_s = time.monotonic() - began
    right = ground.weights(first["result"])
    assert ground.weights(again["result"]) == right, "two runs that are not disturbed differ"
    misses, results = 0, [first["result"], again["result"]]
    while found.kills < kills:
        path = begin(f"{kind} {found.kills} {random.random()}")
        after_s = random.uniform(0, took_s)  # the moment of the kill, which the seed draws: also while it publishes
        try:
            killed = _kill_during(ground, path, after_s, random)
            results.append(ground.ended(path)["result"])
            bits = ground.weights(results[-1])
        except AssertionError as error:
            found.fail(path, error)
            with suppress(AssertionError):  # it has ended
                ground.call("POST", f"{path}/cancel")
            continue
        if killed is not None:
            found.add(*killed, equal=bits == right, what=path)
            continue
        misses, took_s = misses + 1, 0.9 * took_s
        assert misses < 5 * kills + 10, f"{kind}: the jobs end before they can be killed"
    if not found.faults:
        found.faults += _surplus(ground, results)
    return found


def _surplus(ground: Ground, results: Sequence[str]) -> Iterator[str]:
    """Yield a fault for each model that has more versions, or fewer, than jobs were successful."""
    for model, jobs in Counter(result.partition("@")[0] for result in results).items():
        oldest = next(int(result.partition("@")[2]) for result in results if result.startswith(f"{model}@"))
        versions = ground.call("GET", f"/v1/models/{model}")["version"] - oldest + 1
        if versions != jobs:
            yield f"{model}: {jobs} jobs have published {versions} versions"


def _kill_during(ground: Ground, path: str, after_s: float, random: Random) -> tuple[str, float] | None:
    """Kill some time after a job, or a job of a sweep, has begun; return what, and after how long it ran again.

    None if the job has ended before.
    """
    wait_until(partial(_begun, ground, path), GIVE_UP_S, "a running job")
    time.sleep(after_s)
    job = ground.running()
    if job is None:
        return None
    victim, killed = ground.kill(random), time.monotonic()

    def runs_again() -> bool:
        now = ground.call("GET", f"/v1/jobs/{job['job']}")
        return now["state"] in ENDED or (now["state"] == "running" and now["attempt"] > job["attempt"])

    wait_until(runs_again, GIVE_UP_S, f"the job runs again after a kill of the {victim}")
    return victim, time.monotonic() - killed


def _begun(ground: Ground, path: str) -> bool:
    return ground.running() is not None or ground.call("GET", path)["state"] in ENDED


def job_body(ground: Ground) -> dict[str, Any]:
    """Return the request of a job on arrays."""
    steps = np.random.default_rng(1).normal(size=(30, 16, 1))
    data = {"inputs": steps.tolist(), "targets": np.cumsum(steps, axis=0).tolist()}
    return {"model": "walk@1", "data": data, "epochs": ground.epochs, "batch_size": 4, "publish": "always"}


def arrays(ground: Ground, kills: int, random: Random) -> Found:
    """Kill during jobs on arrays."""
    body = job_body(ground)

    def begin(key: str) -> str:
        return f"/v1/jobs/{ground.call('POST', '/v1/jobs', json=body, headers={'Idempotency-Key': key})['job']}"

    return jobs(ground, "arrays", begin, kills, random)


def dataset(ground: Ground, kills: int, random: Random) -> Found:
    """Kill during jobs on a dataset by reference."""
    series = np.sin(np.arange(1500) / 7) + np.random.default_rng(2).normal(0, 0.1, 1500)
    rows = "\n".join(f"{value:.4f}" for value in series)
    name = f"readings-{random.randrange(10**9)}"
    ground.call(
        "POST", "/v1/datasets", params={"name": name}, content=f"temp\n{rows}\n", headers={"Content-Type": "text/csv"}
    )
    fields = {"epochs": max(2, ground.epochs // 60), "batch_size": 32, "publish": "always"}
    data = {"dataset": name, "targets": ["temp"], "horizon": 4}

    def begin(key: str) -> str:
        # each makes a model of its own, so that all begin with the same weights
        body = {"model": f"{name}-{sha256(key.encode()).hexdigest()[:16]}", "data": data, **fields}
        return f"/v1/jobs/{ground.call('POST', '/v1/jobs', json=body, headers={'Idempotency-Key': key})['job']}"

    return jobs(ground, "dataset", begin, kills, random)


def sweeps(ground: Ground, kills: int, random: Random) -> Found:
    """Kill during sweeps of two trials."""
    job = job_body(ground) | {"epochs": max(1, ground.epochs // 2)}
    body = {"job": job, "parameters": {"optimiser.learning_rate": [0.01, 0.003]}, "max_parallel": 2}

    def begin(key: str) -> str:
        return f"/v1/sweeps/{ground.call('POST', '/v1/sweeps', json=body, headers={'Idempotency-Key': key})['sweep']}"

    return jobs(ground, "sweeps", begin, kills, random)


STEPS = 24


def learning(ground: Ground, kills: int, random: Random) -> Found:
    """Kill the process that answers, while a session is stepped and given targets."""
    found = Found("learning", say=ground.say)
    right = {kind: _learn(ground, f"undisturbed-{kind}-{random.randrange(10**9)}", kind) for kind in ("rls", "bptt")}
    began = time.monotonic()
    _learn(ground, f"measured-{random.randrange(10**9)}", "rls")
    took_s = time.monotonic() - began
    for number in range(kills):
        kind, session = random.choice(("rls", "bptt")), f"killed-{number}-{random.randrange(10**9)}"
        try:
            with ThreadPoolExecutor(1) as pool:
                killing = pool.submit(_kill_api, ground, random.uniform(0, took_s))  # the seed draws the moment
                state, times = _learn(ground, session, kind)
                killed = killing.result()
            ground.call("GET", "/readyz")
        except AssertionError as error:
            found.fail(session, error)
            continue
        again_s = next((at for at in times if at > killed), time.monotonic()) - killed
        found.add("process of the api", again_s, equal=state == right[kind][0], what=session)
    return found


def _kill_api(ground: Ground, after_s: float) -> float:
    """Kill the process that answers, after some time; return when."""
    time.sleep(after_s)
    os.kill(wait_until(lambda: ground.replica.child("api"), GIVE_UP_S, "a process of the api"), signal.SIGKILL)
    return time.monotonic()


def _learn(ground: Ground, session: str, kind: str) -> tuple[Any, list[float]]:
    """Return all answers and the state of a session that learns, and when each request was answered."""
    rate = {"learning_rate": 0.01} if kind == "bptt" else {}
    body = {"session": session, "model": "walk@1", "learning": {"type": kind, "window": 8, **rate}}
    with suppress(AssertionError):  # the first answer was lost
        ground.call("POST", "/v1/sessions", json=body)
    values, answers, times = np.sin(np.arange(STEPS + 1)), list[Any](), list[float]()
    for step in range(STEPS):
        made = ground.call("POST", f"/v1/sessions/{session}/step", json={"input": [values[step]], "step": step})
        target = {"step": step, "targets": [[values[step + 1]]]}
        ground.call("POST", f"/v1/sessions/{session}/targets", json=target)
        answers.append(made["output"])
        times.append(time.monotonic())
    learnt = ground.call("GET", f"/v1/sessions/{session}/learning")
    known = {name: learnt[name] for name in ("updates", "waiting", "loss", "base_loss", "delta_norm")}
    layers = ground.call("GET", f"/v1/sessions/{session}/state")["layers"]
    return (answers, layers, known), times


KINDS: dict[str, Callable[[Ground, int, Random], Found]] = {
    "arrays": arrays,
    "dataset": dataset,
    "sweeps": sweeps,
    "learning": learning,
}


@contextmanager
def ground(
    binary: Path, kernels: Path, epochs: int, say: Callable[[str], None] = lambda _line: None, **settings: str
) -> Iterator[Ground]:
    """Run a service. Its jobs on arrays train for the given number of epochs; `say` is called after each kill."""
    redis = RedisProcess(binary)
    redis.start()
    try:
        usual = {"redis_url": redis.url, "cache_dir": str(kernels), "worker": "true", "log_level": "error"}
        with ExitStack() as stack:
            replica = stack.enter_context(serving(environment(**usual | settings)))
            http = stack.enter_context(httpx.Client(base_url=replica.url, timeout=REQUEST_S))
            there = Ground(replica, http, epochs, say)
            there.call("POST", "/v1/models", json={"name": "walk", "network": NETWORK, "seed": 7})
            yield there
    finally:
        redis.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Kill, print, and exit with 1 if a job was late, or ended with other bits."""
    parser = argparse.ArgumentParser(prog="faults of jobs", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="determines the moments of the kills, and their victims")
    parser.add_argument("--kills", type=int, default=50, help="of each kind")
    parser.add_argument("--only", choices=KINDS, action="append", help="kinds; default: all")
    parser.add_argument("--epochs", type=int, default=600, help="of a job on arrays")
    parser.add_argument("--kernels", type=Path, default=Path(".pytest_cache/d/kernels"), help="compiled kernels")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # also then the service and its Redis are ended
    results: list[Found] = []
    with ground(list(find_binaries())[-1].path, options.kernels.absolute(), options.epochs, _say) as there:
        for kind in options.only or KINDS:
            results.append(KINDS[kind](there, options.kills, Random(f"{options.seed} {kind}")))
            _say(results[-1].line())
    for found in results:
        _say("\n".join([found.line(), *found.faults]))
    sys.exit(0 if all(found.is_good for found in results) else 1)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
