"""What all counters promise, over every implementation."""
