"""The recipes of CONTRIBUTING ("How to add ..."), each done in a temporary copy of the repository."""
