"""How good models and tags are: metrics, calibration, thresholds, evaluation, audit."""
