"""Equations to graph, to gradient, to schedule, to machine code."""

from cellar.engine.cell import Cell, Param, State, build_cell

__all__ = ["Cell", "Param", "State", "build_cell"]
