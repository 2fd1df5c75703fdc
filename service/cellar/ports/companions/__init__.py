"""Events, history, snapshots and shadows of sessions: values and protocols. They are deleted with their session."""
