"""The suite of the port ModelStore."""

import threading
import uuid
from dataclasses import replace

import pytest

from cellar.errors import AlreadyExists, ModelUnknown
from cellar.ports import ModelStore, ModelVersion
from cellar.store.catalogue.models import RedisModels
from cellar.store.topology.factory import sync_client

VERSION = ModelVersion(
    tenant="default",
    name="co2",
    version=0,
    digest="d" * 64,
    network={"in_size": 1, "layers": [{"type": "dense", "out_size": 1}]},
    weights="a" * 64,
    created_s=1_700_000_000.25,
    parent="co2@1",
    metrics={"loss": 0.1},
)


@pytest.fixture
def models(redis_url: str) -> ModelStore:
    """Return an empty store."""
    return RedisModels(sync_client(redis_url), f"test-{uuid.uuid4().hex}")


def test_numbers_count_up_and_the_name_follows_the_newest(models: ModelStore) -> None:
    first = models.add(VERSION, token="one")
    second = models.add(replace(VERSION, weights="b" * 64), token="two")
    assert (first.ref, second.ref) == ("co2@1", "co2@2")
    assert models.get("default", "co2") == second
    assert models.get("default", "co2", 1) == first == replace(VERSION, version=1)
    assert models.versions("default", "co2") == [first, second]


def test_the_same_token_makes_one_version(models: ModelStore) -> None:
    first = models.add(VERSION, token="one")
    models.add(replace(VERSION, weights="b" * 64), token="two")
    assert models.add(replace(VERSION, created_s=9.0), token="one") == first
    assert [version.version for version in models.versions("default", "co2")] == [1, 2]


def test_a_free_name_is_created_once_and_equal_versions_are_found(models: ModelStore) -> None:
    first, is_new = models.create(VERSION)
    assert (first.ref, is_new) == ("co2@1", True)
    models.add(VERSION, token="equal by chance")
    assert models.create(replace(VERSION, created_s=9.0)) == (first, False)
    with pytest.raises(AlreadyExists, match="co2@2"):
        models.create(replace(VERSION, digest="e" * 64))
    assert [version.version for version in models.versions("default", "co2")] == [1, 2]
    models.delete("default", "co2")
    assert models.create(VERSION)[0].ref == "co2@3"


def test_adders_at_once_get_numbers_of_their_own(models: ModelStore) -> None:
    made: list[int] = []
    threads = [
        threading.Thread(target=lambda token=token: made.append(models.add(VERSION, token=token).version))
        for token in map(str, range(16))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == list(range(1, 17))


def test_tenants_do_not_see_each_other(models: ModelStore) -> None:
    models.add(VERSION, token="one")
    models.add(replace(VERSION, tenant="other", name="rain"), token="one")
    assert models.names("default") == ["co2"]
    assert models.names("other") == ["rain"]


def test_unknown_ones_are_unknown(models: ModelStore) -> None:
    models.add(VERSION, token="one")
    for ask in (
        lambda: models.get("default", "CO2"),
        lambda: models.get("default", "co2", 2),
        lambda: models.get("other", "co2"),
        lambda: models.versions("default", "rain"),
        lambda: models.delete("default", "rain"),
    ):
        with pytest.raises(ModelUnknown):
            ask()


def test_a_deleted_model_is_gone_and_its_numbers_are_never_used_again(models: ModelStore) -> None:
    models.add(VERSION, token="one")
    models.delete("default", "co2")
    assert models.names("default") == []
    with pytest.raises(ModelUnknown):
        models.get("default", "co2", 1)
    assert models.add(VERSION, token="two").ref == "co2@2"


def test_a_publication_that_comes_again_does_not_revive_a_deleted_model(models: ModelStore) -> None:
    first = models.add(VERSION, token="one")
    models.delete("default", "co2")
    assert models.add(VERSION, token="one") == first
    assert models.names("default") == []


def test_weights_are_unused_when_no_version_of_anybody_refers_to_them(models: ModelStore) -> None:
    shared, own = "a" * 64, "b" * 64
    models.add(VERSION, token="one")
    models.add(replace(VERSION, weights=own), token="two")
    models.add(replace(VERSION, tenant="other"), token="three")
    assert models.delete("default", "co2") == [own]
    assert models.refers(shared)
    assert not models.refers(own)
    assert models.delete("other", "co2") == [shared]
