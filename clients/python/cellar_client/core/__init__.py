"""All that is decided, without sockets: operations are generators of effects, which `sync` and `aio` perform."""
