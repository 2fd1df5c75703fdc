"""Routes of the past of sessions: rewind, replay, snapshots, forks, shadows."""
