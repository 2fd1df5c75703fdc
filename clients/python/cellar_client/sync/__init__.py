"""The blocking client: it performs what operations ask for with httpx and the blocking WebSockets of websockets."""
