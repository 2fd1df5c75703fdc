"""Events of sessions, sent to those who subscribe."""
