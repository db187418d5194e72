"""Settings of the simple recommenders of `ssl-audio recommend`."""

from ssl_audio.settings.fields import Group, setting


class SimilarTracksSettings(Group):
    neighbours: int = setting(1000, help="most similar tracks kept of each track", min=1)


class PlaylistKNNSettings(Group):
    neighbours: int = setting(500, help="most similar playlists whose tracks count", min=1)


class EaseSettings(Group):
    penalty: float = setting(200.0, help="weight of the squared norm of B", above=0)


class SVDSettings(Group):
    dimensions: int = setting(64, help="singular vectors; those of features=identity are 64", min=1)


class ALSSettings(Group):
    """Alternating least squares, by implicit."""

    dimensions: int = setting(64, help="dimensions of a vector", min=1)
    regularisation: float = setting(10.0, help="weight of the squared norms", min=0)
    confidence: float = setting(
        10.0, help="weight of a track that is in a playlist; that of others is 1", above=0
    )
    epochs: int = setting(15, help="passes over the playlists", min=1)


class BPRSettings(Group):
    """Bayesian personalised ranking, by implicit."""

    dimensions: int = setting(64, help="dimensions of a vector", min=1)
    regularisation: float = setting(1e-3, help="weight of the squared norms", min=0)
    learning_rate: float = setting(0.05, help="learning rate", above=0)
    epochs: int = setting(100, help="passes over the positions", min=1)


class WarpSettings(Group):
    dimensions: int = setting(64, help="dimensions of a vector", min=1)
    learning_rate: float = setting(0.05, help="Adagrad's learning rate of the first step", above=0)
    epochs: int = setting(10, help="passes over the positions", min=1)


class Word2VecSettings(Group):
    """Skip-gram with negative sampling, by gensim."""

    dimensions: int = setting(128, help="dimensions of a vector", min=1)
    window: int = setting(5, help="max distance of a context, positions", min=1)
    draw_windows: bool = setting(True, help="each centre draws its window, from 1 to the max")
    negatives: int = setting(
        5, help="negatives of a pair, drawn in proportion to count to the power of 0.75", min=1
    )
    epochs: int = setting(10, help="passes over the playlists", min=1)
    sample: float = setting(
        0.0, help="share of all positions above which a track is subsampled; 0: none is", min=0
    )
    learning_rate: float = setting(
        0.025, help="learning rate at the start; it falls linearly to 1e-4", above=0
    )
