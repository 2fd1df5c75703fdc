"""Sessions over WebSockets: many steps in flight, answered in order."""
