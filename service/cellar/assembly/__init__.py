"""The composition root: creates the parts of the service and connects them."""
