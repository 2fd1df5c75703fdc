"""What belongs to a session beside its record: events, history, snapshots, shadows."""
