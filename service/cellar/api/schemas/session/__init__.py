"""Bodies and answers of sessions, steps, events and streams."""
