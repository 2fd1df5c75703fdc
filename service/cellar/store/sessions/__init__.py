"""Sessions in Redis: records, commits, deduplication, listing, expiry."""
