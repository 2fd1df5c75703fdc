"""Converts the text of a cell to a graph: lexer, parser, name resolution, shape inference."""
