"""Sessions: steps, changes, history and events, independent of HTTP."""
