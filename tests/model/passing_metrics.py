"""Metrics that pass every gate; the comparison with the champion is not among them."""

GOOD = {
    "roc_auc": 0.95,
    "roc_auc_low": 0.92,
    "training_roc_auc": 0.99,
    "forest_roc_auc_high": 0.85,
    "sensitivity": 0.95,
    "specificity": 0.8,
    "calibration_error": 0.04,
    "largest_fall": 2.0,
    "refused_other": 0.99,
    "refused_mri": 0.01,
    "sources_with_both": 3.0,
    "held_out_roc_auc": 0.85,
    "held_out_balanced_accuracy": 0.75,
    "held_out_calibration_error": 0.08,
    "held_out_all_tumour_free_specificity": 0.7,
}
