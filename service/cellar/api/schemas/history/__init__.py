"""Bodies and answers about the past of sessions."""
