"""Tests of `cellar.interchange`."""
