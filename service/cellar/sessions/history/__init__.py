"""Past states of sessions: rewind, replay on other versions, migration, and shadow runs."""
