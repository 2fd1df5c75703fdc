"""Quotas: what each tenant, and all tenants together, may use, how much they use, and the refusals beyond it."""
