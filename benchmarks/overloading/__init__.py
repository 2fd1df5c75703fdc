"""The parts of `python -m benchmarks.overload` beside goodput: tenants within their quotas, and slow clients."""
