"""How good it is: metrics, thresholds, evaluation."""
