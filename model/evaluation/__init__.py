"""Cross-validation, calibration, metrics, baselines and reports."""
