"""The parts that all operations share: effects, one request that is repeated, and the errors of a network."""
