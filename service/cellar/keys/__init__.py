"""API keys: how they are written, stored, checked and made, and which caller each stands for."""
