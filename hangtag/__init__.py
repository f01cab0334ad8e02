"""hangtag learns the tags of a graphic-design library and puts them on new designs."""

__version__ = "0.1.0"
