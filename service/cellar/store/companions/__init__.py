"""Events, history, snapshots and shadows of sessions in Redis."""
