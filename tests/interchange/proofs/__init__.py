"""Networks of other frameworks, imported and run beside the original."""
