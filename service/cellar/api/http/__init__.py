"""What every HTTP route shares: bodies, encodings, negotiation, access, conventions."""
