"""The intermediate representation: graphs of operations, and what makes a graph legal."""
