"""The intermediate representation: graphs of operations, verified, simplified and differentiated."""
