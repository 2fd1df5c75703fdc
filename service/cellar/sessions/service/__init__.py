"""The entry points of sessions: create, step, edit, read, delete."""
