"""Features of a library: similar designs, duplicates, search."""
