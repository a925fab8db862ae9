"""Cross-validation, calibration, metrics, a baseline and reports."""
