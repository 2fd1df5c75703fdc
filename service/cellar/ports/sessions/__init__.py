"""Records of sessions, changes and commits of them, and the protocol of their store."""
