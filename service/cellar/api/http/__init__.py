"""Parts that the HTTP routes share: bodies, content encodings, negotiation, parameters and conventions."""
