"""Middleware: it decides who may send a request, and which service of a fleet the request belongs to."""
