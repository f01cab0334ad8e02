"""The same stages on a Ray cluster. Nothing of this is imported unless a cluster is asked for."""
