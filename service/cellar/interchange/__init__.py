"""Networks with their weights, from the files of other frameworks and to them."""
