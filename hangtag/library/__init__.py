"""A design library: catalog, importers, vocabulary and rules, near-duplicates, splits."""
