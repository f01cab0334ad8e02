"""Datasets: designs decoded to pixels, packed into RecordIO files and read in batches."""
