"""Requests and answers for earlier states and other versions of sessions."""
