"""Stores in Redis: sessions and their companions, models, jobs and blobs; and the connections to Redis."""
