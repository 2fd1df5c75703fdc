"""Requests of one tenant with the names of another, over every route and transport: none may be answered."""
