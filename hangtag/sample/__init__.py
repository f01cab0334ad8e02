"""Clip art drawn from code, as SVG: what the sample library shows."""
