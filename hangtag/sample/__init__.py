"""The sample library: clip art drawn from code."""
