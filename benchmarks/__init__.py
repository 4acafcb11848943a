"""Step and prediction times of cnet side by side with other libraries: ``python -m benchmarks``."""
