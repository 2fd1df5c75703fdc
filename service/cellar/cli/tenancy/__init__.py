"""Commands about API keys and tenants, which talk to the Redis of a service."""
