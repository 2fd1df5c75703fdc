"""Requests and answers for models, cells, jobs and health."""
