"""The main job, small: data, pretraining, fine-tuning against scratch, report."""
