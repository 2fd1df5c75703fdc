"""The suite of the port JobStore. Leases run by Redis' own clock, so that these use short ones and wait for them."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from cellar.errors import AlreadyExists, JobActive, JobUnknown, Superseded
from cellar.ports import Job, JobState, JobStore, Lease
from cellar.store.catalogue.job_events import RedisJobEvents
from cellar.store.catalogue.jobs import HISTORY_EPOCHS, MAX_BARREN_ATTEMPTS, SAMPLED, RedisJobs
from cellar.store.topology.factory import sync_client
from tests.waiting import wait_until

LONG_S = 60.0
SHORT_S = 0.05
JOB = Job(tenant="default", job="j1", state="queued", spec={"model": "co2@1"}, created_s=1_700_000_000.25)


@pytest.fixture
def jobs(redis_url: str) -> JobStore:
    """Return a store that holds one queued job."""
    store = RedisJobs(sync_client(redis_url), f"test-{uuid.uuid4().hex}")
    store.create(JOB)
    return store


def acquire(jobs: JobStore, lease_s: float = LONG_S) -> Lease:
    """Begin the next attempt as soon as no worker holds the job."""
    return wait_until(lambda: jobs.acquire("default", "j1", lease_s), 5, "the lease runs out")


def get(jobs: JobStore) -> Job:
    return jobs.get("default", "j1")


def test_a_new_job_is_queued_as_it_was_given(jobs: JobStore) -> None:
    assert get(jobs) == JOB
    assert jobs.history("default", "j1") == []
    with pytest.raises(AlreadyExists):
        jobs.create(JOB)
    for ask in (jobs.get, jobs.history, jobs.cancel):
        with pytest.raises(JobUnknown):
            ask("other", "j1")


def test_only_an_ended_job_is_deleted(jobs: JobStore) -> None:
    lease = acquire(jobs)
    with pytest.raises(JobActive, match="cancel it"):
        jobs.delete("default", "j1")
    jobs.report(lease, {}, history=[{"epoch": 1}])
    jobs.finish(lease, "failed", error="out of luck")
    with pytest.raises(JobUnknown):
        jobs.delete("other", "j1")
    jobs.delete("default", "j1")
    for ask in (jobs.get, jobs.history, jobs.cancel, jobs.delete):
        with pytest.raises(JobUnknown):
            ask("default", "j1")
    assert (listed(jobs, 9), list(jobs.ended())) == ([], [])
    jobs.create(JOB)
    assert get(jobs) == JOB


def listed(jobs: JobStore, limit: int, state: JobState | None = None) -> list[str]:
    found, _ = jobs.list("default", limit, state)
    return [job.job for job in found]


def test_the_newest_jobs_come_first(jobs: JobStore) -> None:
    for index in range(2, 5):
        jobs.create(Job("default", f"j{index}", "queued", {}, JOB.created_s + index))
    jobs.create(Job("other", "j9", "queued", {}, JOB.created_s + 9))
    assert listed(jobs, 3) == ["j4", "j3", "j2"]


def test_the_newest_of_one_state_are_found_behind_others(jobs: JobStore) -> None:
    for index in range(2, 6):
        jobs.create(Job("default", f"j{index}", "queued", {}, JOB.created_s + index))
        if index < 4:
            jobs.cancel("default", f"j{index}")
    assert listed(jobs, 1, "cancelled") == ["j3"]
    assert listed(jobs, 9, "cancelled") == ["j3", "j2"]
    assert listed(jobs, 1, "queued") == ["j5"]
    assert listed(jobs, 9, "failed") == []


@pytest.mark.parametrize("state", [None, "queued"])
def test_pages_have_every_job_once(jobs: JobStore, state: JobState | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellar.store.catalogue.jobs.READ_AT_ONCE", 2)
    for index, later in enumerate((1, 1, 1, 1, 2, 2, 3), 2):  # a page ends among four that were created together
        jobs.create(Job("default", f"j{index}", "queued", {}, JOB.created_s + 0.1234567 * later))
    pages: list[list[str]] = []
    cursor = ""
    while not pages or cursor:
        found, cursor = jobs.list("default", 3, state, cursor)
        pages.append([job.job for job in found])
    assert pages == [["j8", "j7", "j6"], ["j5", "j4", "j3"], ["j2", "j1"]]


def test_a_list_goes_on_behind_a_job_that_has_expired(redis_url: str) -> None:
    client, prefix = sync_client(redis_url), f"test-{uuid.uuid4().hex}"
    store = RedisJobs(client, prefix)
    for name in ("a", "b", "c", "d"):
        store.create(Job("default", name, "queued", {}, JOB.created_s))
    _, cursor = store.list("default", 2)
    client.delete(f"{prefix}:{{jobs}}:default/c")  # the last one of the page
    assert [job.job for job in store.list("default", 2, None, cursor)[0]] == ["b", "a"]


def test_unfinished_jobs_are_found_by_their_model_or_its_version(jobs: JobStore) -> None:
    others = [("default", "co2@2"), ("default", "co22@1"), ("other", "co2@1")]
    for number, (tenant, model) in enumerate(others, start=2):
        jobs.create(Job(tenant, f"j{number}", "queued", {"model": model}, JOB.created_s + number))

    def found(model: str) -> list[str]:
        return sorted(job.job for job in jobs.unfinished("default", model))

    acquire(jobs)  # j1 runs
    assert (found("co2"), found("co2@1"), found("co2@2")) == (["j1", "j2"], ["j1"], ["j2"])
    assert found("co") == found("co2@3") == []
    jobs.cancel("default", "j2")  # no worker holds it, so that it ends now
    assert found("co2") == ["j1"]


def test_a_new_job_makes_room_in_the_index_but_not_of_those_that_are_open(redis_url: str) -> None:
    client, prefix = sync_client(redis_url), f"test-{uuid.uuid4().hex}"
    store, index = RedisJobs(client, prefix), f"{prefix}:{{jobs}}:index:default"
    for number in range(1, SAMPLED):
        store.create(Job("default", f"j{number}", "queued", {}, JOB.created_s + number))
    lease = store.acquire("default", "j1", LONG_S)
    assert lease is not None
    expired = [f"{prefix}:{{jobs}}:default/j{number}" for number in range(2, SAMPLED)]
    assert client.delete(*expired) == len(expired)
    assert client.zcard(index) == SAMPLED - 1
    store.create(Job("default", "new", "queued", {}, JOB.created_s + 90 * 86400))
    assert client.zrange(index, 0, -1) == [b"j1", b"new"]


def test_a_list_forgets_what_has_expired(redis_url: str) -> None:
    client, prefix = sync_client(redis_url), f"test-{uuid.uuid4().hex}"
    store = RedisJobs(client, prefix)
    for name in ("old", "young"):
        store.create(Job("default", name, "queued", {}, JOB.created_s))
    client.delete(f"{prefix}:{{jobs}}:default/old")
    assert listed(store, 10) == ["young"]
    assert client.zrange(f"{prefix}:{{jobs}}:index:default", 0, -1) == [b"young"]


def test_a_held_job_is_of_no_other(jobs: JobStore) -> None:
    lease = acquire(jobs)
    assert lease == Lease("default", "j1", 1)
    assert jobs.acquire("default", "j1", LONG_S) is None
    assert jobs.renew(lease, LONG_S)
    job = get(jobs)
    assert (job.state, job.attempt) == ("running", 1)
    assert job.started_s is not None


def test_a_lease_that_runs_out_makes_room_for_the_next_attempt(jobs: JobStore) -> None:
    first = acquire(jobs, SHORT_S)
    second = acquire(jobs)
    assert second.attempt == 2
    assert_superseded(jobs, first)
    assert (get(jobs).state, get(jobs).attempt) == ("running", 2)


def assert_superseded(jobs: JobStore, lease: Lease) -> None:
    """Check that an attempt can do nothing."""
    before = get(jobs)
    actions: list[Callable[[], Any]] = [
        lambda: jobs.renew(lease, LONG_S),
        lambda: jobs.release(lease),
        lambda: jobs.claim(lease, "c" * 64),
        lambda: jobs.report(lease, {"epoch": 9}, "c" * 64, history=[{"epoch": 9}]),
        lambda: jobs.seal(lease, {"weights": "c" * 64}),
        lambda: jobs.finish(lease, "succeeded", result="co2@9"),
    ]
    for action in actions:
        with pytest.raises(Superseded):
            action()
    assert get(jobs) == before


def test_a_lease_that_ran_out_is_kept_if_no_worker_took_the_job(jobs: JobStore) -> None:
    lease = acquire(jobs, SHORT_S)
    wait_until(lambda: list(jobs.orphans()), 5, "the lease runs out")
    assert get(jobs).state == "queued"
    assert jobs.renew(lease, LONG_S)
    assert get(jobs).state == "running"
    assert jobs.acquire("default", "j1", LONG_S) is None


def test_a_lease_of_no_time_gives_the_job_up(jobs: JobStore) -> None:
    lease = acquire(jobs)
    jobs.renew(lease, 0)
    assert [job.job for job in jobs.orphans()] == ["j1"]
    assert acquire(jobs).attempt == 2


def test_progress_checkpoint_and_history(jobs: JobStore) -> None:
    lease = acquire(jobs)
    assert jobs.claim(lease, "c" * 64) is None
    assert get(jobs).spare == "c" * 64
    jobs.report(lease, {"epoch": 2, "loss": 0.5}, "c" * 64, history=[{"epoch": 1, "loss": 1.0}, {"epoch": 2}])
    jobs.report(lease, {"epoch": 3}, history=[{"epoch": 2, "loss": 0.5}])
    job = get(jobs)
    assert (job.progress, job.checkpoint, job.spare) == ({"epoch": 3}, "c" * 64, None)
    assert jobs.history("default", "j1") == [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}]


def test_the_history_is_capped(jobs: JobStore) -> None:
    lease = acquire(jobs)
    jobs.report(lease, {}, history=[{"epoch": epoch} for epoch in range(1, HISTORY_EPOCHS + 11)])
    epochs = [record["epoch"] for record in jobs.history("default", "j1")]
    assert epochs == list(range(11, HISTORY_EPOCHS + 11))
    jobs.report(lease, {}, history=[{"epoch": 2 * HISTORY_EPOCHS}])
    epochs = [record["epoch"] for record in jobs.history("default", "j1")]
    assert epochs == [*range(HISTORY_EPOCHS + 1, HISTORY_EPOCHS + 11), 2 * HISTORY_EPOCHS]


def test_every_epoch_is_kept_beside_the_newest(redis_url: str) -> None:
    client, prefix = sync_client(redis_url), f"test-{uuid.uuid4().hex}"
    store, events = RedisJobs(client, prefix), RedisJobEvents(client, prefix)
    store.create(JOB)
    with pytest.raises(JobUnknown):
        events.epochs("other", "j1", 0, 10)
    assert events.epochs("default", "j1", 0, 10) == ([], None)
    lease = acquire(store)
    rows = [epoch_of(number) for number in range(5, 2500)]  # those before it are of the job that it continues
    store.report(lease, {}, history=rows[:1500])
    store.report(lease, {}, history=rows[1200:])  # the next attempt repeats some after a crash
    assert store.history("default", "j1") == rows[-1000:]
    assert events.epochs("default", "j1", 0, 2000) == (rows[:2000], 2004)
    assert events.epochs("default", "j1", 2004, 2000) == (rows[2000:], None)
    assert events.epochs("default", "j1", 2498, 1) == ([rows[-1]], 2499)
    assert events.epochs("default", "j1", 2499, 1) == events.epochs("default", "j1", 10**9, 1) == ([], None)
    store.report(lease, {}, history=[epoch_of(1)])  # it begins again before the first of them
    assert events.epochs("default", "j1", 0, 9) == ([epoch_of(1)], None)
    assert client.ttl(f"{prefix}:{{jobs}}:default/j1:epochs") == -1
    store.finish(lease, "failed", error="out of luck")
    assert client.ttl(f"{prefix}:{{jobs}}:default/j1:epochs") > 86_400
    store.retry("default", "j1")
    assert client.ttl(f"{prefix}:{{jobs}}:default/j1:epochs") == -1
    store.cancel("default", "j1")
    store.delete("default", "j1")
    assert [*client.scan_iter(f"{prefix}:{{jobs}}:default/j1*", count=10_000)] == []


def epoch_of(number: int) -> dict[str, Any]:
    return {"epoch": number, "loss": 1 / number, "validation_loss": None, "learning_rate": 0.1}


def test_jobs_of_earlier_releases_have_the_newest_epochs_alone(redis_url: str) -> None:
    client, prefix = sync_client(redis_url), f"test-{uuid.uuid4().hex}"
    store, events = RedisJobs(client, prefix), RedisJobEvents(client, prefix)
    store.create(JOB)
    record = f"{prefix}:{{jobs}}:default/j1"
    client.hset(f"{record}:history", mapping={str(number): json.dumps(epoch_of(number)) for number in (9, 10, 11)})
    assert events.epochs("default", "j1", 9, 9) == ([epoch_of(10), epoch_of(11)], None)
    assert events.epochs("default", "j1", 0, 2) == ([epoch_of(9), epoch_of(10)], 10)
    store.report(acquire(store), {}, history=[epoch_of(12), epoch_of(13)])  # a worker of this release goes on
    assert [each["epoch"] for each in events.epochs("default", "j1", 0, 9)[0]] == [9, 10, 11, 12, 13]
    assert [each["epoch"] for each in events.epochs("default", "j1", 10, 2)[0]] == [11, 12]


def test_a_checkpoint_that_was_never_recorded_is_found_by_the_next(jobs: JobStore) -> None:
    lease = acquire(jobs)
    jobs.claim(lease, "c" * 64)
    assert jobs.claim(lease, "c" * 64) is None
    assert jobs.claim(lease, "d" * 64) == "c" * 64


def test_ends_once(jobs: JobStore) -> None:
    lease = acquire(jobs)
    jobs.finish(lease, "succeeded", result="co2@2")
    job = get(jobs)
    assert (job.state, job.result, job.error) == ("succeeded", "co2@2", None)
    assert job.ended_s is not None
    jobs.finish(lease, "succeeded", result="co2@2")  # a reply may be lost
    with pytest.raises(Superseded):
        jobs.finish(lease, "failed", error="no")
    with pytest.raises(Superseded):
        jobs.renew(lease, LONG_S)
    assert jobs.acquire("default", "j1", LONG_S) is None
    assert jobs.cancel("default", "j1") == job


def test_a_queued_job_is_cancelled_at_once(jobs: JobStore) -> None:
    assert jobs.cancel("default", "j1").state == "cancelled"
    assert jobs.acquire("default", "j1", LONG_S) is None


def test_a_running_job_is_asked_to_end(jobs: JobStore) -> None:
    lease = acquire(jobs)
    job = jobs.cancel("default", "j1")
    assert job.state == "running"
    assert job.cancel_asked_s is not None
    assert jobs.renew(lease, LONG_S) is False
    assert jobs.seal(lease, {"weights": "a" * 64}) is False
    jobs.finish(lease, "cancelled")
    assert get(jobs).state == "cancelled"


@pytest.mark.parametrize("find", ["orphans", "acquire"])
def test_a_job_that_was_asked_to_end_and_died_does_not_begin_again(jobs: JobStore, find: str) -> None:
    lease = acquire(jobs)
    jobs.cancel("default", "j1")
    jobs.renew(lease, 0)
    assert (list(jobs.orphans()) == []) if find == "orphans" else (jobs.acquire("default", "j1", LONG_S) is None)
    assert get(jobs).state == "cancelled"


def test_what_is_sealed_is_published_whoever_does_it(jobs: JobStore) -> None:
    lease = acquire(jobs)
    assert jobs.seal(lease, {"weights": "a" * 64})
    assert jobs.seal(lease, {"weights": "b" * 64})
    assert jobs.cancel("default", "j1").cancel_asked_s is None
    jobs.renew(lease, 0)
    acquire(jobs)
    assert get(jobs).outcome == {"weights": "a" * 64}


def test_attempts_that_die_in_vain_end_the_job_with_a_reason(jobs: JobStore) -> None:
    for _ in range(MAX_BARREN_ATTEMPTS):
        jobs.renew(acquire(jobs), 0)
    assert jobs.acquire("default", "j1", LONG_S) is None
    job = get(jobs)
    assert job.state == "failed"
    assert job.error is not None
    assert "died 3 times" in job.error


def test_the_reason_names_what_the_last_attempt_died_of(jobs: JobStore) -> None:
    for _ in range(MAX_BARREN_ATTEMPTS):
        jobs.abandon(acquire(jobs), "SIGSEGV")
    assert jobs.acquire("default", "j1", LONG_S) is None
    assert str(get(jobs).error).endswith("a new checkpoint, the last time of SIGSEGV")


def test_the_reason_has_the_place_of_the_last_report(jobs: JobStore) -> None:
    lease = acquire(jobs)
    jobs.report(lease, {"epoch": 3, "epochs": 5, "update": 1, "updates": 2, "loss": 0.5})
    jobs.renew(lease, 0)
    for _ in range(MAX_BARREN_ATTEMPTS - 1):
        jobs.abandon(acquire(jobs), "SIGKILL")
    assert jobs.acquire("default", "j1", LONG_S) is None
    assert str(get(jobs).error).endswith("of SIGKILL; its last report is of epoch 3 of 5, batch 1 of 2")


def test_the_reason_does_not_name_what_an_attempt_before_died_of(jobs: JobStore) -> None:
    jobs.abandon(acquire(jobs), "SIGSEGV")
    for _ in range(MAX_BARREN_ATTEMPTS - 1):
        jobs.renew(acquire(jobs), 0)  # its lease ran out: no process saw it end
    assert jobs.acquire("default", "j1", LONG_S) is None
    assert "SIGSEGV" not in str(get(jobs).error)


def test_a_superseded_attempt_cannot_say_what_the_next_one_dies_of(jobs: JobStore) -> None:
    first = acquire(jobs)
    jobs.abandon(first, "SIGSEGV")
    acquire(jobs)
    with pytest.raises(Superseded):
        jobs.abandon(first, "SIGKILL")


def test_a_new_checkpoint_or_a_return_gives_new_attempts(jobs: JobStore) -> None:
    for attempt in range(1, 4 * MAX_BARREN_ATTEMPTS):
        lease = acquire(jobs)
        assert lease.attempt == attempt
        if attempt % 4 == 1:
            jobs.report(lease, {}, f"{attempt:064}")
        if attempt % 4 == 3:
            jobs.release(lease)
            assert get(jobs).state == "queued"
        else:
            jobs.renew(lease, 0)


def test_each_orphan_goes_to_one_sweeper(jobs: JobStore) -> None:
    assert list(jobs.orphans()) == []  # whoever submits a job queues it
    jobs.renew(acquire(jobs), 0)
    assert [job.state for job in jobs.orphans()] == ["queued"]
    assert list(jobs.orphans()) == []
    wait_until(lambda: list(jobs.orphans()), 5, "it is looked at again, since no worker has begun it")
    acquire(jobs)
    assert list(jobs.orphans()) == []


def test_ended_jobs_wait_to_be_cleared(jobs: JobStore) -> None:
    assert list(jobs.ended()) == []
    jobs.cancel("default", "j1")
    assert [job.job for job in jobs.ended()] == ["j1"]
    jobs.cleared("default", "j1")
    assert list(jobs.ended()) == []
