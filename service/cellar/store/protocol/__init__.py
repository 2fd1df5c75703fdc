"""The Redis protocol: URLs, encoding of commands, parsing of replies, scripts, errors."""
