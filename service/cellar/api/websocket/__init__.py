"""Steps over WebSockets: many in flight on a socket, answered in the order of their session."""
