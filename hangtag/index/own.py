"""The backbone that comes with hangtag: its name, and the input that it is used with."""

from typing import Final

# docs/hangtag-base.md is its model card.
OWN_BACKBONE: Final = "hangtag-base"
OWN_NETWORK: Final = "tf_efficientnet_lite0"  # of timm, with four channels
SIDE_OF_OWN: Final = 160  # pixels
