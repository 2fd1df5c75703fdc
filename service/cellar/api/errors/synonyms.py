"""Tables of other frameworks' names for members and values of requests, from which errors suggest Cellar's names."""

from cellar.cells import BUILT_IN
from cellar.errors.suggestions import closest, plain_name

MEMBERS: dict[str, tuple[str, ...]] = {
    "act": ("activation",),
    "activationfn": ("activation",),
    "activationfunction": ("activation",),
    "alpha": ("rho",),
    "batch": ("batch_size",),
    "batchfirst": ("layout",),
    "bptt": ("window",),
    "celltype": ("cell",),
    "clip": ("clip_norm",),
    "clipgradnorm": ("clip_norm",),
    "code": ("equations",),
    "cost": ("loss",),
    "criterion": ("loss",),
    "dataset": ("data",),
    "dropoutrate": ("rate",),
    "earlystop": ("early_stopping",),
    "embeddingdim": ("out_size",),
    "eps": ("epsilon",),
    "equation": ("equations",),
    "features": ("out_size", "in_size"),
    "formula": ("equations",),
    "gradclip": ("clip_norm",),
    "gradientclipping": ("clip_norm",),
    "hidden": ("hidden_size",),
    "hiddendim": ("hidden_size",),
    "hiddenunits": ("hidden_size",),
    "id": ("session", "name"),
    "infeatures": ("in_size",),
    "initializer": ("init",),
    "inputdim": ("in_size", "count"),
    "inputs": ("input", "inputs"),
    "inputshape": ("in_size",),
    "inputsize": ("in_size",),
    "iterations": ("epochs",),
    "kernelinitializer": ("init",),
    "l2": ("weight_decay",),
    "labels": ("targets",),
    "layer": ("layers", "layer"),
    "lossfn": ("loss",),
    "lossfunction": ("loss",),
    "lr": ("learning_rate",),
    "maxepochs": ("epochs",),
    "maxgradnorm": ("clip_norm",),
    "modelid": ("model",),
    "modelname": ("model", "name"),
    "name": ("session", "name"),
    "nepochs": ("epochs",),
    "nonlinearity": ("activation",),
    "numembeddings": ("count",),
    "numepochs": ("epochs",),
    "numhidden": ("hidden_size",),
    "objective": ("loss",),
    "opt": ("optimiser",),
    "optim": ("optimiser",),
    "optimizer": ("optimiser",),
    "outdim": ("out_size",),
    "outfeatures": ("out_size",),
    "outputdim": ("out_size",),
    "outputs": ("targets",),
    "outputsize": ("out_size",),
    "p": ("rate",),
    "probability": ("rate",),
    "randomseed": ("seed",),
    "randomstate": ("seed",),
    "reduction": ("reduce",),
    "scheduler": ("schedule",),
    "sequence": ("inputs",),
    "sequencelength": ("window",),
    "sessionid": ("session",),
    "sessionname": ("session",),
    "shape": ("layout",),
    "size": ("hidden_size", "out_size"),
    "target": ("targets",),
    "tbptt": ("window",),
    "timemajor": ("layout",),
    "units": ("hidden_size", "out_size"),
    "usebias": ("bias",),
    "validationdata": ("validation",),
    "validationfraction": ("validation",),
    "validationsplit": ("validation",),
    "valsplit": ("validation",),
    "vocabsize": ("count",),
    "wd": ("weight_decay",),
    "windowsize": ("window",),
    "x": ("input", "inputs"),
    "xtrain": ("inputs",),
    "y": ("targets",),
    "ytrain": ("targets",),
}
"""The members that a foreign name may mean, the most likely first."""

READS = "a layer reads what the one before it answers; the size of the first one's input is `in_size` of the network"

INSTEAD: dict[str, str] = {
    "betas": "`beta1` and `beta2` are members of their own",
    "bidirectional": 'put the layer into another: {"type": "bidirectional", "layer": {...}}',
    "depth": "a deeper network has several entries in `layers`",
    "device": "the service chooses itself where it computes",
    "dropout": 'put an entry {"type": "dropout", "rate": 0.1} between those of `layers`',
    "infeatures": READS,
    "inputdim": READS,
    "inputshape": READS,
    "inputsize": READS,
    "insize": READS,
    "nlayers": "a deeper network has several entries in `layers`",
    "numlayers": "a deeper network has several entries in `layers`",
    "recurrentdropout": 'put an entry {"type": "dropout", "rate": 0.1} between those of `layers`',
    "returnsequences": "every layer answers every step; a job leaves outputs out of its loss with `skip`",
    "returnstate": "the state is kept by the session: GET /v1/sessions/{session}/state",
    "shuffle": "windows are shuffled with `state` reset, and follow each other with carry",
    "stateful": "every session keeps its state; in a job, `state` carry lets it flow from window to window",
}
"""Advice for foreign members that have no counterpart in the same object."""

VALUES: dict[str, str] = {
    "bce": "binary_cross_entropy",
    "bceloss": "binary_cross_entropy",
    "bcewithlogits": "binary_cross_entropy",
    "bcewithlogitsloss": "binary_cross_entropy",
    "categoricalcrossentropy": "cross_entropy",
    "cosineannealing": "cosine",
    "cosineannealinglr": "cosine",
    "crossentropyloss": "cross_entropy",
    "exponentiallr": "exponential",
    "fc": "dense",
    "fullyconnected": "dense",
    "l1": "mae",
    "l1loss": "mae",
    "linear": "dense",
    "logisticsigmoid": "sigmoid",
    "logit": "sigmoid",
    "logitbinarycrossentropy": "binary_cross_entropy",
    "logitcrossentropy": "cross_entropy",
    "maeloss": "mae",
    "meanabsoluteerror": "mae",
    "meansquarederror": "mse",
    "mseloss": "mse",
    "nesterovmomentum": "nesterov",
    "none": "identity",
    "smoothl1loss": "huber",
    "sparsecategoricalcrossentropy": "cross_entropy",
    "steplr": "step",
    "timedistributed": "dense",
    "xavieruniform": "glorot_uniform",
}
"""The values that foreign words mean. `linear` is a layer, and as an activation it is `identity`."""

LAYERS: dict[str, str] = {
    "activation": "an activation is a member of the layer before it",
    "chain": "the layers of a network follow each other in `layers`",
    "inputlayer": "the size of the input is `in_size` of the network",
    "relu": "an activation is a member of the layer before it",
    "sequential": "the layers of a network follow each other in `layers`",
    "sigmoid": "an activation is a member of the layer before it",
    "softmax": "an activation is a member of the layer before it",
    "tanh": "an activation is a member of the layer before it",
}
"""Advice for foreign types of layers that have no counterpart."""


def synonym(name: str, known: list[str]) -> str | None:
    """Return the known member that a name means, in another case or with other separators, or in another framework."""
    plain = plain_name(name)
    same = [each for each in known if plain_name(each) == plain]
    return next((each for each in (*same, *MEMBERS.get(plain, ())) if each in known), None)


def meant_value(value: str, known: list[str]) -> str | None:
    """Return the known word that a value means, None if none is near."""
    plain = plain_name(value)
    if VALUES.get(plain) in known:
        return VALUES[plain]
    return "identity" if plain == "linear" and "identity" in known else closest(value, known)


def layer_hint(kind: str, known: list[str]) -> str:
    """Return a suggestion for an unknown type of layer, or ""."""
    if "recurrent" not in known:
        return ""
    plain = plain_name(kind).removesuffix("layer").removesuffix("cell")
    cell = plain.removeprefix("simple")
    for name in BUILT_IN:
        if plain_name(name) in (plain, cell):
            return f'; write "type": "recurrent" with "cell": "{name}"'
    instead = LAYERS.get(plain)
    return "" if instead is None else f"; {instead}"
