"""Equations to graph, to gradient, to schedule, to machine code."""

from cellar.engine.arguments import Mask, States, joined_state
from cellar.engine.cache import KernelCache
from cellar.engine.call import Call
from cellar.engine.cell import Cell, State, build_cell
from cellar.engine.compile import while_wanted
from cellar.engine.frame import Node, Run
from cellar.engine.kernel import Backward, CompiledCell, Forward, Tape, compile_cell, compile_cells, kernel_texts
from cellar.engine.packing import Packed
from cellar.engine.player import player_text
from cellar.engine.program import Program
from cellar.engine.recording import Recording
from cellar.engine.revision import KERNEL_REV, TRAINING_REV
from cellar.engine.target import Target, host_target, is_known, target_here

__all__ = [
    "KERNEL_REV",
    "TRAINING_REV",
    "Backward",
    "Call",
    "Cell",
    "CompiledCell",
    "Forward",
    "KernelCache",
    "Mask",
    "Node",
    "Packed",
    "Program",
    "Recording",
    "Run",
    "State",
    "States",
    "Tape",
    "Target",
    "build_cell",
    "compile_cell",
    "compile_cells",
    "host_target",
    "is_known",
    "joined_state",
    "kernel_texts",
    "player_text",
    "target_here",
    "while_wanted",
]
