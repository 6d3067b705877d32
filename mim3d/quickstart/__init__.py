"""The quick start: data, pretraining, fine-tuning against scratch, evaluation, segmentation and a report."""
