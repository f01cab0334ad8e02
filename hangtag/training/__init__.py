"""DATASET/ -> MODEL/. The only room that imports torch."""
