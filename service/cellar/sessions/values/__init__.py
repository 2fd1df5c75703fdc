"""Values that the sessions packages share: results, positions, identities, digests, and the protocol of models."""
