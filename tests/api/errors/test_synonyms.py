"""What other frameworks call the members of requests, in requests of theirs."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from cellar.api.errors.members import members_at
from cellar.api.errors.synonyms import INSTEAD, MEMBERS, VALUES
from cellar.api.http.body import validated
from cellar.api.schemas.catalogue.cells import CellRequest
from cellar.api.schemas.catalogue.jobs import JobRequest
from cellar.api.schemas.catalogue.models import ModelRequest
from cellar.api.schemas.session.sessions import SessionRequest
from cellar.api.schemas.session.steps import SequenceRequest, StepRequest
from cellar.cells import BUILT_IN
from cellar.errors import InvalidInput
from cellar.errors.suggestions import plain_name
from cellar.nn.model.layers.dense import DenseSpec
from cellar.nn.model.layers.dropout import DropoutSpec
from cellar.nn.model.layers.embedding import EmbeddingSpec
from cellar.nn.model.layers.recurrent import RecurrentSpec
from cellar.nn.training.optimiser import Optimiser as OptimiserBase
from cellar.nn.training.optimisers.adam import Adam
from cellar.nn.training.optimisers.rmsprop import RmsProp

DATA = {"layout": "TF", "inputs": [[1]], "targets": [[1]]}
LSTM = {"type": "recurrent", "cell": "lstm", "hidden_size": 2}


def network(layer: dict[str, Any]) -> dict[str, Any]:
    """Return a request for a model of one layer."""
    return {"name": "m", "network": {"in_size": 1, "layers": [layer]}}


def job(**fields: Any) -> dict[str, Any]:
    """Return a request for a training job."""
    return {"model": "m", "data": DATA, **fields}


CASES: list[tuple[type[BaseModel], Any, str, str]] = [
    (JobRequest, job(optimizer="adam"), "/optimizer", "did you mean `optimiser`?"),
    (JobRequest, job(lr=0.1), "/lr", "did you mean `optimiser.learning_rate`?"),
    (JobRequest, job(optimiser={"type": "adam", "lr": 0.1}), "/optimiser/lr", "did you mean `learning_rate`?"),
    (JobRequest, job(optimiser={"type": "adam", "learningRate": 0.1}), "/optimiser/learningRate", "`learning_rate`?"),
    (JobRequest, job(optimiser="Adam"), "/optimiser", 'found "Adam"; did you mean "adam"?'),
    (JobRequest, job(optimiser={"type": "RMSProp"}), "/optimiser/type", 'found "RMSProp"; did you mean "rmsprop"?'),
    (JobRequest, job(loss="MSELoss"), "/loss", 'found "MSELoss"; did you mean "mse"?'),
    (JobRequest, job(loss="BCEWithLogitsLoss"), "/loss", 'did you mean "binary_cross_entropy"?'),
    (JobRequest, job(validation_split=0.2), "/validation_split", "did you mean `validation`?"),
    (JobRequest, job(batch=8), "/batch", "did you mean `batch_size`?"),
    (JobRequest, job(batchSize=8), "/batchSize", "did you mean `batch_size`?"),
    (JobRequest, job(patience=8), "/patience", "did you mean `early_stopping.patience`?"),
    (JobRequest, job(inputs=[[1]]), "/inputs", "did you mean `data.inputs`?"),
    (JobRequest, job(stateful=True), "/stateful", "`state` carry lets it flow from window to window"),
    (
        JobRequest,
        {"model": "m", "x": [[1]], "y": [[1]]},
        "/data",
        "there is no member `x`; did you mean `data.inputs`?",
    ),
    (
        JobRequest,
        {"model": "m", "data": {"x": [[1]], "y": [[1]]}},
        "/data/inputs",
        "there is no member `x`; did you mean `inputs`?",
    ),
    (JobRequest, job(epochs="3"), "/epochs", "expected an integer: 3 without quotes"),
    (
        ModelRequest,
        network({**LSTM, "type": "LSTM"}),
        "/network/layers/0/type",
        'write "type": "recurrent" with "cell": "lstm"',
    ),
    (
        ModelRequest,
        network({"type": "GRUCell"}),
        "/network/layers/0/type",
        'write "type": "recurrent" with "cell": "gru"',
    ),
    (
        ModelRequest,
        network({"type": "SimpleRNN"}),
        "/network/layers/0/type",
        'write "type": "recurrent" with "cell": "rnn"',
    ),
    (ModelRequest, network({"type": "Linear"}), "/network/layers/0/type", 'did you mean "dense"?'),
    (
        ModelRequest,
        network({"type": "relu"}),
        "/network/layers/0/type",
        "an activation is a member of the layer before",
    ),
    (ModelRequest, network({"cell": "lstm"}), "/network/layers/0", 'by its members it may be "recurrent"'),
    (
        ModelRequest,
        network({"type": "recurrent", "cell": "lstm", "units": 2}),
        "/network/layers/0/hidden_size",
        "`hidden_size`?",
    ),
    (ModelRequest, network({"type": "dense", "units": 2}), "/network/layers/0/out_size", "did you mean `out_size`?"),
    (
        ModelRequest,
        network({"type": "recurrent", "cell": "lstm", "hidden": 2}),
        "/network/layers/0/hidden_size",
        "`hidden_size`?",
    ),
    (ModelRequest, network({"type": "dense", "out_features": 2}), "/network/layers/0/out_size", "`out_size`?"),
    (ModelRequest, network({**LSTM, "input_size": 1}), "/network/layers/0/input_size", "`in_size` of the network"),
    (ModelRequest, network({**LSTM, "num_layers": 2}), "/network/layers/0/num_layers", "several entries in `layers`"),
    (ModelRequest, network({**LSTM, "return_sequences": True}), "/network/layers/0/return_sequences", "every step"),
    (ModelRequest, network({**LSTM, "stateful": True}), "/network/layers/0/stateful", "every session keeps its state"),
    (
        ModelRequest,
        network({"type": "dense", "out_size": 1, "activation_function": "relu"}),
        "/network/layers/0/activation_function",
        "did you mean `activation`?",
    ),
    (
        ModelRequest,
        network({"type": "dense", "out_size": 1, "activation": "linear"}),
        "/network/layers/0/activation",
        'did you mean "identity"?',
    ),
    (
        ModelRequest,
        {"name": "m", "layers": [LSTM]},
        "/network",
        "there is no member `layers`; did you mean `network.layers`?",
    ),
    (ModelRequest, {"name": "m", "network": {"input_size": 1, "layers": [LSTM]}}, "/network/in_size", "`in_size`?"),
    (ModelRequest, network({**LSTM, "bias": False}), "/network/layers/0/bias", 'what has it is of the type "dense"'),
    (ModelRequest, network({"class_name": "LSTM"}), "/network/layers/0", "`class_name` is called `type` here; write"),
    (SessionRequest, {"name": "s", "model": "m"}, "/name", "there is no such member; did you mean `session`?"),
    (SessionRequest, {"session": "s", "model": "m", "batch": 2}, "/batch", "did you mean `batch_size`?"),
    (StepRequest, {"inputs": [1]}, "/input", "did you mean `input`?"),
    (StepRequest, {"x": [1]}, "/input", "did you mean `input`?"),
    (SequenceRequest, {"input": [[1]]}, "/inputs", "did you mean `inputs`?"),
    (
        CellRequest,
        {"formula": "h = x", "sizes": {}},
        "/equations",
        "there is no member `formula`; did you mean `equations`?",
    ),
]


@pytest.mark.parametrize(("kind", "document", "pointer", "said"), CASES)
def test_the_words_of_other_frameworks_lead_to_those_of_here(
    kind: type[BaseModel], document: Any, pointer: str, said: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        validated(kind, document)
    assert caught.value.pointer == pointer
    assert said in caught.value.detail


def test_forms_of_an_initialiser_are_told_apart_without_a_type() -> None:
    layer = {"type": "dense", "out_size": 1, "init": {"W": {"uniform": [0, 1], "fan_in": 2}}}
    with pytest.raises(InvalidInput) as caught:
        validated(ModelRequest, network(layer))
    assert (caught.value.pointer, caught.value.expected) == ("/network/layers/0/init/W/fan_in", "one of uniform")


VALUE = st.sampled_from(
    [None, True, 3, -1, 0.5, "lstm", "LSTM", "adam", "x", [], [[1]], {}, {"type": "dense"}, {"lr": 1}]
)
WORDS = sorted({*MEMBERS, *INSTEAD, *JobRequest.model_fields, *ModelRequest.model_fields, "type", "cell", "init", "W"})


@given(
    document=st.sampled_from(
        [job(optimiser={"type": "adam"}, loss="huber"), network(LSTM), network({"type": "dense"})]
    ),
    changes=st.lists(
        st.tuples(st.lists(st.integers(0, 9), max_size=5), st.sampled_from(WORDS), VALUE), min_size=1, max_size=4
    ),
)
@settings(max_examples=500, deadline=None)
def test_whatever_stands_where_is_told_and_no_fault_of_ours(document: Any, changes: Any) -> None:
    document = json.loads(json.dumps(document))
    for path, name, value in changes:
        at = document
        for step in path:
            inner = list(at.values()) if isinstance(at, dict) else at
            if not inner or not isinstance(inner[step % len(inner)], dict | list):
                break
            at = inner[step % len(inner)]
        if isinstance(at, dict):
            at[name] = value
        else:
            at.append(value)
    for kind in (JobRequest, ModelRequest):
        with suppress(InvalidInput):
            validated(kind, document)


def test_every_word_leads_to_something_that_there_is() -> None:
    requests = (JobRequest, ModelRequest, SessionRequest, StepRequest, SequenceRequest, CellRequest)
    others = (RecurrentSpec, DenseSpec, DropoutSpec, EmbeddingSpec, OptimiserBase, Adam, RmsProp)
    known = {name for model in (*requests, *others) for name in members_at(model, [])}
    known |= {
        name for kind, part in ((JobRequest, "data"), (ModelRequest, "network")) for name in members_at(kind, [part])
    }
    known |= set(members_at(ModelRequest, ["network", "layers", 0, "bidirectional"]))
    known |= set(members_at(ModelRequest, ["network", "layers", 0, "recurrent", "cell", "equations"]))
    assert {name for names in MEMBERS.values() for name in names} <= known
    assert all(plain_name(word) == word for word in (*MEMBERS, *INSTEAD, *VALUES))


@pytest.mark.parametrize("cell", BUILT_IN)
def test_every_cell_is_found_where_a_layer_is_called_like_it(cell: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        validated(ModelRequest, network({"type": cell.upper()}))
    assert f'with "cell": "{cell}"' in caught.value.detail
