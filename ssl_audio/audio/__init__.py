"""From audio files to crops and log-mels."""

SAMPLE_RATE = 16_000  # Hz, of everything that an encoder of this package sees
