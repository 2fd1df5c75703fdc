"""Masks: of the right rate, and decided by seed, epoch, update and layer alone."""

import numpy as np
import pytest

from cellar.nn.execution.dropout import draw_masks
from tests.nn.golden.cases import dense, dropout, network
from tests.nn.oracle import make_network

LAYERS = make_network(network(8, dropout(0.25), dense(4), dropout(0))).layers


def test_shapes_values_and_share() -> None:
    masks = draw_masks(LAYERS, 0, 0, 0, 50, 20)
    assert {index: mask.shape for index, mask in masks.items()} == {0: (50, 20, 8), 2: (50, 20, 4)}
    assert set(np.unique(masks[0]).tolist()) == {0.0, float(np.float32(1 / 0.75))}
    assert float((masks[0] == 0).mean()) == pytest.approx(0.25, abs=0.02)
    assert (masks[2] == 1).all()


def test_the_same_update_draws_the_same_and_every_other_one_others() -> None:
    first = draw_masks(LAYERS, 1, 2, 3, 5, 4)[0]
    assert (first == draw_masks(LAYERS, 1, 2, 3, 5, 4)[0]).all()
    for seed, epoch, update in ((0, 2, 3), (1, 1, 3), (1, 2, 4)):
        assert (first != draw_masks(LAYERS, seed, epoch, update, 5, 4)[0]).any()
    for begin in (1, 2, 4):
        assert (
            draw_masks(LAYERS, 1, 2, 3, 5 - begin, 3, first=begin)[2] == draw_masks(LAYERS, 1, 2, 3, 5, 3)[2][begin:]
        ).all()
    twice = make_network(network(8, dropout(0.25), dropout(0.25), dense(1))).layers
    masks = draw_masks(twice, 1, 2, 3, 5, 4)
    assert (masks[0] != masks[1]).any()
