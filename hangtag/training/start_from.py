"""A network that continues from a trained model, whose tags may differ from the dataset's."""

from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from hangtag.console import note
from hangtag.errors import ModelError
from hangtag.library.vocabulary import Vocabulary
from hangtag.training.config import from_stored
from hangtag.training.network import TagNetwork
from hangtag.training.weights import with_weights

HEAD: Final = ("head.weight", "head.bias")  # of a whole network, or of a linear head alone


def start_from(network: TagNetwork, vocabulary: Vocabulary, model: Path) -> None:
    """Copy a trained model's weights into `network`; the weights of new tags stay as they are.

    A tag is matched by its name or, after a renaming, by one of its aliases. Raises ModelError when
    the backbones differ or there are no weights.
    """
    earlier = with_weights(model)
    try:
        state = load_file(earlier.weights)
    except SafetensorError as cause:
        raise ModelError(f"{earlier.weights} is damaged ({cause}); copy it again") from cause
    own = network.state_dict()
    for name, value in own.items():  # what not every model holds
        if name == "offset" or name.endswith("num_batches_tracked"):
            state.setdefault(name, value)
    backbone = {key: value for key, value in state.items() if not key.startswith("head.")}
    wrong = [
        key for key, value in backbone.items() if key not in own or own[key].shape != value.shape
    ]
    if wrong or len(backbone) + len(HEAD) != len(own):
        raise ModelError(
            f"{model} has another backbone than this run; give --backbone "
            f"{earlier.training['backbone']} --input-size {earlier.preprocessing.input_size}"
        )
    if "head.weight" not in state:
        network.load_state_dict({**own, **backbone})
        note(f"starting from {model}: its backbone alone, its kernel head is fitted anew")
        return
    if state["head.weight"].shape[1] != own["head.weight"].shape[1]:
        pooling = from_stored(earlier.training).pooling
        raise ModelError(
            f"the tag head of {model} has other inputs; give --pooling {pooling} or leave it out"
        )
    rows = {name: row for row, name in enumerate(earlier.vocabulary.names)}
    known = 0
    head = {"head.weight": own["head.weight"].clone(), "head.bias": own["head.bias"].clone()}
    for column, tag in enumerate(vocabulary.tags):
        row = next((rows[name] for name in (tag.name, *tag.aliases) if name in rows), None)
        if row is not None:
            known += 1
            for key, values in head.items():
                values[column] = state[key][row]
    with torch.no_grad():
        network.load_state_dict({**backbone, **head})
    network.head_is_fitted = True
    note(f"starting from {model}: it has {known} of the {len(vocabulary)} tags")
