"""Rates and gauges of a tenant: never more than the limit, however the requests come."""

import pytest

from cellar.errors import Overloaded, QuotaExceeded
from cellar.quotas import meter
from cellar.quotas.limits import ALL, TenantLimits
from cellar.quotas.meter import Bucket, Meter


class Time:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Replace the clock of buckets."""
    clock = Time()
    monkeypatch.setattr(meter, "monotonic", clock)
    return clock


def test_a_bucket_gives_its_rate_and_a_second_of_it_at_once(time: Time) -> None:
    bucket = Bucket(10, 1)
    assert [bucket.take(1) for _ in range(10)] == [0] * 10
    assert bucket.take(1) == pytest.approx(0.1)
    time.now_s += 0.31
    assert [bucket.take(1) > 0 for _ in range(4)] == [False, False, False, True]
    time.now_s += 1000
    assert bucket.take(1) == 0
    assert bucket.level == 9, "no more than a second of it was saved up"


def test_a_request_larger_than_the_bucket_is_served_when_it_is_full(time: Time) -> None:
    bucket = Bucket(10, 1)
    assert bucket.take(25) == 0
    assert bucket.take(1) == pytest.approx(1.6)
    time.now_s += 1.5
    assert bucket.take(1) > 0
    time.now_s += 0.2
    assert bucket.take(1) == 0


def test_what_others_take_is_not_there_any_more(time: Time) -> None:
    bucket = Bucket(10, 1)
    bucket.take_elsewhere(8)
    assert [bucket.take(1) > 0 for _ in range(3)] == [False, False, True]
    bucket.take_elsewhere(10_000)
    time.now_s += 2
    assert bucket.take(1) == 0, "a debt is not larger than the bucket"
    assert Bucket(0, 1).take(1) > 1e9, "nothing at all"


def test_the_refusals_name_the_quota_the_limit_and_the_setting() -> None:
    values: dict[str, float] = {"tenant_steps_per_second": 5, "tenant_streams": 2, "max_steps_per_second": 7}
    limits = TenantLimits(values.get)
    of_tenant, of_all = Meter("acme", limits), Meter(ALL, limits)
    of_tenant.take("steps_per_second", 5)
    with pytest.raises(QuotaExceeded, match="CELLAR_TENANT_STEPS_PER_SECOND") as refused:
        of_tenant.take("steps_per_second", 1)
    assert refused.value.fields() == {
        "outcome": "not_applied",
        "quota": "steps_per_second",
        "limit": 5,
        "setting": "CELLAR_TENANT_STEPS_PER_SECOND",
    }
    of_all.take("steps_per_second", 7)
    with pytest.raises(Overloaded, match="CELLAR_MAX_STEPS_PER_SECOND") as overloaded:
        of_all.take("steps_per_second", 1)
    assert not isinstance(overloaded.value, QuotaExceeded)
    of_tenant.add("streams", 1)
    of_tenant.check("streams")
    of_tenant.elsewhere["streams"] = 1
    with pytest.raises(QuotaExceeded, match="CELLAR_TENANT_STREAMS"):
        of_tenant.check("streams")


def test_a_tenant_may_have_limits_of_its_own() -> None:
    values: dict[str, float] = {"tenant_steps_per_second": 5}
    limits = TenantLimits(values.get)
    counted = Meter("acme", limits)
    limits.replace({"acme": {"steps_per_second": None, "jobs": 3}})
    counted.refresh()
    counted.take("steps_per_second", 1000)
    assert (limits.limit("acme", "jobs"), limits.limit("other", "jobs")) == (3, None)
    limits.replace({})
    counted.refresh()
    counted.take("steps_per_second", 1000)
    with pytest.raises(QuotaExceeded):
        counted.take("steps_per_second", 1)
