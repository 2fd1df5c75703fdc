"""Tests of `cellar.interchange.torch`."""
