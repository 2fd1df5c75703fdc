"""Models and their versions: published, listed, loaded, deleted, and published again with what a session has learnt."""
