"""SVG as browsers draw it: prepared here, rendered by resvg."""
