"""Finds Redis servers: a single one, a cluster, the primary behind sentinels, replicas; and checks them."""
