"""A person's erasure: tombstones, the scrubbing of raw and landing zone, the proof, the receipt."""
