"""Parts that the HTTP routes share: bodies, content encodings, negotiation, access control and conventions."""
