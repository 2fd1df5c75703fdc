"""The client for asyncio: it performs what operations ask for with httpx and websockets."""
