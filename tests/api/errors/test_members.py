"""Members of the objects of requests, by pydantic's locations."""

from cellar.api.errors.members import members_at, places_below, words_at
from cellar.api.schemas.catalogue.jobs import JobRequest
from cellar.api.schemas.catalogue.models import ModelRequest
from cellar.nn.model.layers.dense import DenseSpec
from cellar.nn.training.losses import NAMES

DENSE = list(DenseSpec.model_fields)


def test_tags_of_unions_choose_a_branch() -> None:
    assert members_at(ModelRequest, ["network", "layers", 3, "dense"]) == DENSE
    assert members_at(ModelRequest, ["network", "layers", 0, "residual", "layers", 1, "dense"]) == DENSE
    assert members_at(JobRequest, ["loss", "huber"]) == ["type", "delta"]
    assert "equations" in members_at(ModelRequest, ["network", "layers", 0, "recurrent", "cell", "equations"])


def test_what_leads_nowhere_has_no_members() -> None:
    assert members_at(ModelRequest, ["seed"]) == []
    assert members_at(ModelRequest, ["nothing", 0]) == []
    assert members_at(None, []) == []


def test_members_further_in_are_found_by_their_path() -> None:
    below = places_below(JobRequest, [])
    assert below["learning_rate"] == "optimiser.learning_rate"
    assert below["targets"] == "data.targets"
    assert below["every"] == "optimiser.schedule.every"
    assert places_below(ModelRequest, [])["hidden_size"] == "network.layers[].hidden_size"
    assert "cell" not in places_below(ModelRequest, ["network", "layers", 0, "dense"])


def test_the_words_of_a_member() -> None:
    assert words_at(JobRequest, ["loss"], "type") == [*NAMES]
    assert words_at(JobRequest, [], "seed") == []
