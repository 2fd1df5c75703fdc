"""Reads files of readings into tables: columns are planned, rows sorted, and the table is written."""
