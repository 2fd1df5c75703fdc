"""The past of a session: rewind, replay, comparison and shadow runs."""
