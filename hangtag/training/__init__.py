"""DATASET/ -> MODEL/: training with torch."""
