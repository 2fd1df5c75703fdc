"""Routes for earlier states and other versions of sessions: rewind, replay, snapshots, forks and shadows."""
