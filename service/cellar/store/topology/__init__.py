"""Which Redis servers there are: one, a cluster, sentinels, replicas."""
