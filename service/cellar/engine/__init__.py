"""The engine: it compiles the equations of a cell to machine code, and runs cells and networks of them."""

from cellar.engine.backend.compile_pool import is_wanted, while_wanted
from cellar.engine.backend.kernel_cache import KernelCache
from cellar.engine.cell import Cell, State, build_cell
from cellar.engine.execution.arguments import Mask, States, joined_state
from cellar.engine.execution.arrays import Floats, Ints, aligned, flushed
from cellar.engine.execution.command_list import CommandList
from cellar.engine.execution.compiled_cell import (
    Backward,
    CompiledCell,
    Forward,
    TrainingScratch,
    compile_cell,
    compile_cells,
    kernel_texts,
)
from cellar.engine.execution.invocation import GradientBuffers, Invocation
from cellar.engine.execution.network_plan import INPUT, NodeWeights, PlanNode, Run, Signal
from cellar.engine.execution.network_program import NetworkCode, NetworkProgram
from cellar.engine.execution.packed_weights import PackedWeights
from cellar.engine.execution.scratch_pool import Workspace, room
from cellar.engine.native_calls.command_list_call import command_list_text
from cellar.engine.numerics import KERNEL_REV, TRAINING_REV
from cellar.engine.target import Target, host_target, is_known, target_here
