"""The zoo: broken and healthy runs on which the verdict is tested."""
