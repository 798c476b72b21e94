"""What was asked and answered: segments, comparisons, labelers, query strategies, the label schedule."""
