"""What the protocol finds in a stream of bytes, held against h11: the same requests, and the same end."""
