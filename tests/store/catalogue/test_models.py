"""The suite of the port ModelStore."""

import threading
import uuid
from dataclasses import replace

import pytest

from cellar.errors import AliasesFull, AliasMoved, AliasUnknown, AlreadyExists, ModelUnknown
from cellar.ports import Alias, ModelStore, ModelVersion
from cellar.store.catalogue.models import MOST_ALIASES, RedisModels
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


def test_versions_have_pages(models: ModelStore) -> None:
    """Some were deleted, and one has tags."""
    made = [models.add(replace(VERSION, weights=f"{number:064x}"), token=str(number)) for number in range(7)]
    for number in (2, 3, 5):
        models.delete("default", "co2", number)
    tagged = models.describe(made[3], tags=["good"], description="the fourth")
    pages, after = [], 0
    while True:
        found, after = models.page("default", "co2", after, 2)
        pages.append([version.version for version in found])
        assert after == 0 or after >= pages[-1][-1]
        if not after:
            break
    assert [number for page in pages for number in page] == [1, 4, 6, 7]
    assert all(len(page) <= 2 for page in pages)
    assert models.page("default", "co2", 3, 1) == ([tagged], 4)
    assert models.page("default", "co2", 7, 5) == models.page("default", "co2", 10**15, 5) == ([], 0)
    with pytest.raises(ModelUnknown):
        models.page("default", "nothing", 0, 5)


def test_a_page_ends_after_so_many_numbers(models: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellar.store.catalogue.models.MOST_EXAMINED", 3)
    for number in range(8):
        models.add(replace(VERSION, weights=f"{number:064x}"), token=str(number))
    for number in range(2, 8):
        models.delete("default", "co2", number)
    assert models.page("default", "co2", 0, 5)[1] == 3
    assert models.page("default", "co2", 3, 5) == ([], 6)
    found, after = models.page("default", "co2", 6, 5)
    assert ([version.version for version in found], after) == ([8], 0)


def test_models_are_listed_with_their_versions_and_aliases(models: ModelStore) -> None:
    first = models.add(VERSION, token="one")
    second = models.add(replace(VERSION, weights="b" * 64), token="two")
    moved = models.move_alias(Alias("default", "co2", "live", 1, 5)).alias
    other = models.add(replace(VERSION, name="rain"), token="three")
    found = models.listed("default", ["co2", "gone", "rain"])
    assert found == [([first, second], [moved]), ([other], [])]
    assert models.listed("default", []) == []


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


def two_versions(models: ModelStore) -> None:
    """Store the versions 1 and 2 of `co2`."""
    for token, weights in (("one", "a" * 64), ("two", "b" * 64)):
        models.add(replace(VERSION, weights=weights), token=token)


def live(version: int, moved_ms: int = 1000, alias: str = "live") -> Alias:
    """Return an alias to be moved."""
    return Alias("default", "co2", alias, version, moved_ms)


def test_an_alias_is_moved_and_every_move_is_later_than_the_one_before(models: ModelStore) -> None:
    two_versions(models)
    assert models.alias("default", "co2", "live") is None
    assert models.aliases_moved_ms("default") == 0
    first = models.move_alias(live(1))
    assert (first.alias, first.before, first.changed) == (live(1), None, True)
    second = models.move_alias(live(2))
    assert (second.alias, second.before) == (live(2, 1001), 1), "the clock has not moved on"
    again = models.move_alias(live(2, 9000))
    assert (again.alias, again.before, again.changed) == (live(2, 1001), 2, False), "it was there already"
    other = models.move_alias(live(1, 500, "trial")).alias
    assert other.moved_ms == models.aliases_moved_ms("default") == 1002
    assert models.aliases("default", "co2") == [live(2, 1001), other]
    assert models.alias("other", "co2", "live") is None


def test_an_alias_is_moved_only_from_the_version_that_is_expected(models: ModelStore) -> None:
    two_versions(models)
    with pytest.raises(AliasMoved) as refused:
        models.move_alias(live(1), expected=2)
    assert refused.value.version == 0
    assert models.move_alias(live(1), expected=None).changed
    for expected in (None, 2):
        with pytest.raises(AliasMoved) as refused:
            models.move_alias(live(2), expected)
        assert refused.value.version == 1
    assert models.move_alias(live(2), expected=1).changed
    assert not models.move_alias(live(2), expected=1).changed, "a repetition finds it moved"
    with pytest.raises(AliasMoved):
        models.delete_alias(live(0), expected=1)
    models.delete_alias(live(0), expected=2)
    with pytest.raises(AliasUnknown):
        models.delete_alias(live(0))
    with pytest.raises(ModelUnknown):
        models.move_alias(live(3))


def test_of_movers_at_once_one_wins(models: ModelStore) -> None:
    two_versions(models)
    models.move_alias(live(1))
    won: list[bool] = []

    def move() -> None:
        try:
            won.append(models.move_alias(live(2), expected=1).changed)
        except AliasMoved:
            won.append(False)

    threads = [threading.Thread(target=move) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


def test_a_model_has_a_bounded_number_of_aliases(models: ModelStore) -> None:
    two_versions(models)
    for number in range(MOST_ALIASES):
        models.move_alias(live(1, alias=f"a{number}"))
    with pytest.raises(AliasesFull):
        models.move_alias(live(1))
    assert models.move_alias(live(2, alias="a0")).before == 1


def test_one_version_is_deleted_with_its_aliases_and_words(models: ModelStore) -> None:
    two_versions(models)
    first = models.describe(models.get("default", "co2", 1), tags=["old"])
    assert (first.tags, first.description) == (("old",), None)
    models.move_alias(live(2))
    stays = models.move_alias(live(1, alias="stable")).alias
    assert models.delete("default", "co2", 2) == ["b" * 64]
    assert models.aliases("default", "co2") == [stays]
    assert models.aliases_moved_ms("default") > stays.moved_ms
    assert models.get("default", "co2") == first, "it is the newest now"
    assert [version.ref for version in models.deleted("default")] == ["co2@2"]
    with pytest.raises(ModelUnknown):
        models.delete("default", "co2", 2)
    assert models.add(VERSION, token="three").ref == "co2@3", "no number is used twice"
    assert models.delete("default", "co2", 1) == []
    assert models.delete("default", "co2", 3) == ["a" * 64]
    assert models.names("default") == []


def test_a_move_of_an_alias_is_a_use_of_the_model(models: ModelStore) -> None:
    two_versions(models)
    uses = models.uses("default", "co2")
    models.move_alias(live(1))
    assert models.delete("default", "co2", 1, uses=uses) is None
    assert models.delete("default", "co2", 1, uses=models.uses("default", "co2")) is not None


def test_tags_and_description_are_changed_one_by_one(models: ModelStore) -> None:
    made = models.add(VERSION, token="one")
    assert (made.tags, made.description) == ((), None)
    assert models.describe(made, description="zwölf Pumpen").description == "zwölf Pumpen"
    both = models.describe(made, tags=["site:north", "trial"])
    assert both == models.get("default", "co2") == models.versions("default", "co2")[0]
    assert (both.tags, both.description) == (("site:north", "trial"), "zwölf Pumpen")
    assert models.describe(made, tags=[], description="") == made
    with pytest.raises(ModelUnknown):
        models.describe(replace(made, version=2), tags=[])
