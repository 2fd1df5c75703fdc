"""Routes of sessions and their steps."""
