"""Imports networks with their weights from files of other frameworks, and exports them."""
