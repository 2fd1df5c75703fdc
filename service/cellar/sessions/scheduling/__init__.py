"""From a request to its commit: a queue per session, dispatch, and commits."""
