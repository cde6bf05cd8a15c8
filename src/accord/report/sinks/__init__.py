"""Trackers that show a run's curves elsewhere: TensorBoard, Weights & Biases, MLflow, trackio.

Each follows `metrics.jsonl` with a position of its own: what a tracker has is noted beside the run,
so that a run that was killed and resumed leaves no step twice and none out.
"""
