"""Images: reading, grouping, splitting, drawing and perturbing them. Imports no TensorFlow."""
