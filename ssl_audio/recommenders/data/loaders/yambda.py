"""Yambda: plays of a streaming service's users over 300 days, cut into listening sessions.

FOLDER/listens.parquet of a size in the flat form, such as flat/50m: uid, timestamp (seconds, in
steps of five) and item_id.
"""

from ssl_audio.recommenders.data.loaders.published import SESSION_GAP, Published, existing
from ssl_audio.recommenders.data.tables import read_table

COLUMNS = {"playlist": "uid", "track": "item_id", "position": "timestamp"}

DATASET = Published(
    citation=(
        "A. Ploshkin et al. Yambda-5B: a large-scale multi-modal dataset for ranking and "
        "retrieval. RecSys 2025, arXiv:2505.22238."
    ),
    licence="Apache 2.0",
    read=lambda folder: read_table(existing(folder, "listens.parquet"), COLUMNS, SESSION_GAP),
)
