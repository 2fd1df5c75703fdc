"""Backups of an installation, or of one session or model: read from Redis, kept in one file, and written to Redis.

Also the erasure of what is left of a tenant.
"""
