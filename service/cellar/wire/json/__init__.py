"""JSON text: strict documents, lines, long documents."""
