"""Plans a job on a dataset: which columns are read and how, the network, and the settings of its training."""
