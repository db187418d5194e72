"""From audio files to crops and log-mels."""

SAMPLE_RATE = 16_000  # Hz, of the named front ends, of shards and of the descriptors
