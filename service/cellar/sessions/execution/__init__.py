"""Kernel calls: rows of many sessions in one call, on threads that models share."""
