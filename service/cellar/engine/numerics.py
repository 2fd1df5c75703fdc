"""The constants of the arithmetic, each defined once: revisions, the vector width, the flush limit, epsilons."""

KERNEL_REV = 2
"""The revision of the arithmetic of serving. A change that can change a bit of an output or a state raises it.
Sessions are pinned to it."""

TRAINING_REV = 2
"""The revision of training. A change of backward kernels, losses, optimisers, initialisers or batches that can change a
bit of trained weights raises it. Checkpoints depend on it and on KERNEL_REV; sessions do not."""

LANES = 16
"""Floats of a block: reductions have this many partial sums, and rows are padded to a multiple of it."""

FLUSH_BELOW = 2.0**-63
"""Magnitudes below become +0 in inputs, in weights, and in states where they are written. Subnormal numbers slow a
multiplication by two orders of magnitude, so one idle session whose state decays would slow its whole batch."""

LAYERNORM_EPSILON = 1e-5
"""Added to the variance in `layernorm`, as PyTorch and Flux do by default."""
