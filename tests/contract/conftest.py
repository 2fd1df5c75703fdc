"""What is imported in `.venv-contract` only is no test."""

collect_ignore = ["hooks.py", "python_client.py"]
