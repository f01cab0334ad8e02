"""The names of the files of an index."""

from typing import Final

from hangtag.tagging.model_folder import TAGS_FILE

FORMAT: Final = 2
INDEX_FILE: Final = "index.json"
MARK: Final = ".hangtag-index"
# By content, of designs that come and go.
FEATURES: Final = "features"
SCORES: Final = "scores"
# A row for each design, in a folder that index.json names.
DESIGNS: Final = "designs.jsonl"
CONTENT: Final = "content.f16"
STYLE: Final = "style.f16"
PROJECTION: Final = "projection.safetensors"
COLOURS: Final = "colours.f16"
LOGITS: Final = "logits.f16"
TAGS: Final = TAGS_FILE
CUT_OUTS: Final = "cut-outs"  # fingerprints without a white background
REJECTED: Final = "rejected.csv"
