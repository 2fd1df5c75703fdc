"""Tables on disk: columns while they are read, their order, and the file that is kept."""
