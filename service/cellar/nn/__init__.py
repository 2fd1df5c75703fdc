"""Networks of cells: their specification, parameters and execution, and their training."""
