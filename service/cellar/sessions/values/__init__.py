"""Values of sessions: results, positions, identities, digests, and what is known of their model."""
