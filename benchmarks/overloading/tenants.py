"""Three tenants: two send three and ten times their quotas, and the third keeps within its own."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import httpx

from benchmarks.cases import Case
from benchmarks.floods import rss_mib
from benchmarks.ours import network_spec
from benchmarks.overloading.steady import measure, normal_again_s, request
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import HOST, READY_S, Contestant, start_cellars
from benchmarks.serving.cores import Cores
from benchmarks.serving.model import SEED
from benchmarks.serving.redis_server import RedisServer
from benchmarks.serving.surge import Outcome, Surge, run
from cellar.keys.administration import KeyAdministration
from cellar.keys.pepper import Pepper
from cellar.ports.clock import SystemClock
from cellar.store.catalogue.keys import RedisKeys
from cellar.store.topology.factory import sync_client

PEPPER = "the pepper of a benchmark"
QUOTA = 500.0
"""Steps a second of a tenant: two of them leave the service room."""
TIMES = {"three": 3, "ten": 10}
"""The tenants that send too much, with the multiple of their quota."""
CLIENTS, DEADLINE_S, WARM_S = 64, 1.0, 2.0
LEAST_PRIORITY = 19
"""The niceness of the load: from another machine it would take no time from Redis and from the client beside it."""
GOODPUT, AT_MOST, NORMAL_S, GROWTH_MIB = 0.85, 2.0, 2.0, 64.0


def bars(case: Case, cores: Cores, seconds: float) -> Iterator[Bar]:
    """Yield the figures of three tenants of one service."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(cores.outside, None))
        limits = {"tenant_steps_per_second": str(QUOTA), "log_level": "error"}
        settings = {"authentication": "keys", "key_pepper": PEPPER, **limits}
        (cellar,) = start_cellars(stack, (cores.service,), redis, 1, None, **settings)
        keys = KeyAdministration(RedisKeys(sync_client(redis.url), "cellar"), Pepper(PEPPER), SystemClock())
        headers = {tenant: f"Authorization: Bearer {_key(keys, tenant)}" for tenant in (*TIMES, "polite")}
        _wait_for(cellar, headers["polite"])
        for line in headers.values():
            _prepare(cellar, line, case)
        polite = request("s0", case.in_size, headers["polite"])
        os.sched_setaffinity(0, {cores.outside})  # the client that is measured
        before, rss = measure(cellar.port, polite, seconds), rss_mib(cellar.process.popen.pid)
        surges = [_surge(cellar, case, headers[tenant], times, seconds) for tenant, times in TIMES.items()]
        # As with the goodput, the first seconds do not count: in them a tenant sends the steps of a second at once.
        with multiprocessing.get_context("spawn").Pool(2, os.nice, (LEAST_PRIORITY,)) as pool:
            found = pool.map_async(run, surges, chunksize=1)
            bursts = measure(cellar.port, polite, WARM_S)
            during = measure(cellar.port, polite, seconds)
            outcomes: list[Outcome] = found.get()
        normal_s = normal_again_s(cellar.port, polite, AT_MOST * before.p99_s)
        print(f"tenants: a step alone {before}; while the others use up what they saved {bursts}; after {during}")
        growth = float(rss_mib(cellar.process.popen.pid) - rss)
        for tenant, outcome in zip(TIMES, outcomes, strict=True):
            yield Bar(f"tenants.goodput_of_quota.{tenant}_times", outcome.goodput / QUOTA, GOODPUT)
        yield Bar("tenants.p99_within_quota", during.p99_s / before.p99_s, AT_MOST, at_most=True)
        yield Bar("tenants.normal_again_s", normal_s, NORMAL_S, at_most=True)
        yield Bar("tenants.memory_growth_mib", growth, GROWTH_MIB, at_most=True)


def _key(keys: KeyAdministration, tenant: str) -> str:
    return keys.create(tenant, "benchmark", ("admin",)).text


def _wait_for(cellar: Contestant, header: str) -> None:
    """Wait until the service knows the key."""
    with _client(cellar, header) as client:
        while client.get("/v1/models").status_code == httpx.codes.UNAUTHORIZED:
            pass


def _client(cellar: Contestant, header: str) -> httpx.Client:
    name, _, value = header.partition(": ")
    return httpx.Client(base_url=f"http://{HOST}:{cellar.port}", timeout=READY_S, headers={name: value})


def _prepare(cellar: Contestant, header: str, case: Case) -> None:
    """Make the model and the sessions of a tenant."""
    spec = network_spec(case).model_dump(mode="json")
    with _client(cellar, header) as client:
        client.post("/v1/models", json={"name": "lstm", "network": spec, "seed": SEED}).raise_for_status()
        for number in range(CLIENTS):
            client.post("/v1/sessions", json={"session": f"s{number}", "model": "lstm"}).raise_for_status()


def _surge(cellar: Contestant, case: Case, header: str, times: int, seconds: float) -> Surge:
    requests: Sequence[bytes] = [request(f"s{number}", case.in_size, header) for number in range(CLIENTS)]
    return Surge(cellar.port, tuple(requests), CLIENTS, seconds, WARM_S, times * QUOTA, DEADLINE_S)
