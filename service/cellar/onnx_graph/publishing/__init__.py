"""Decides how a graph is hosted, before it is published: checks it, finds its states and shapes, and tries it."""
