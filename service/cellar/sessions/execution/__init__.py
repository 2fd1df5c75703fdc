"""Runs the steps of sessions: rows of many sessions in one kernel call, on threads that all models share."""
