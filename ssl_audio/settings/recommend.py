"""Settings of `ssl-audio recommend`."""

from pathlib import Path
from typing import Literal, Self

from ssl_audio.io.remote import Url
from ssl_audio.settings.baselines import (
    ALSSettings,
    BPRSettings,
    EaseSettings,
    PlaylistKNNSettings,
    SimilarTracksSettings,
    SVDSettings,
    WarpSettings,
    Word2VecSettings,
)
from ssl_audio.settings.fields import (
    CommandSettings,
    Group,
    SettingError,
    group,
    setting,
    variants,
)
from ssl_audio.settings.recommenders import RECOMMENDERS
from ssl_audio.settings.tree import build, plain, suggestion
from ssl_audio.settings.words import merged, read_words

# settings that recommenders are trained with: those that overrides= may change
OF_RECOMMENDERS = (
    "item_cf", "pmi", "playlist_knn", "ease", "svd", "als", "bpr", "warp", "track2vec", "musig",
    "m2grl", "transformer", "lightgcn", "two_tower", "recency",
)  # fmt: skip
FEATURES = Literal["genre", "popularity", "audio", "acoustic", "identity"]


class StoreSettings(Group):
    """Feature stores, at paths or URLs; their ids are the tracks of the playlists."""

    embeddings: Path | Url | None = setting(
        None, help="store of embed: input of transformer and two_tower, and a baseline"
    )
    acoustic: Path | Url | None = setting(None, help="store of acoustic: 8 acoustic features")
    audio: Path | Url | None = setting(
        None, help="store of acoustic kind=descriptors: 42 descriptors"
    )
    popularity: Path | Url | None = setting(
        None, help="store of popularity; null: counted in training"
    )


class GraphSettings(Group):
    min_weight: int = setting(10, help="playlists that two tracks must share for an edge", min=1)


class MusigSettings(Group):
    """MUSIG: multi-task GraphSAGE over the graph of co-occurring tracks."""

    similarity: Literal["acoustic", "audio"] = setting(
        "acoustic", help="features that the audio similarity task compares"
    )
    weights: Literal["learnt"] | tuple[float, ...] = setting(
        (0.7, 0.1, 0.2), help="weights of the tasks playlist, genre and audio similarity", min=0
    )
    dimensions: int = setting(128, help="dimensions of a track vector", min=1)
    fan_out: tuple[int, ...] = setting(
        (25, 10), help="neighbours sampled in the first and second hop", min=1
    )
    isolated: float = setting(0.1, help="share of tracks with hidden neighbours", min=0, below=1)
    identity_dropout: float = setting(
        0.2, help="features=identity: share of tracks without it, beside the isolated ones",
        min=0, below=1,
    )  # fmt: skip
    pairs: Literal["by_weight", "each_edge"] = setting(
        "by_weight", help="positive pairs: in proportion to the playlists that two tracks share, "
        "or every edge of the graph equally often",
    )  # fmt: skip
    batch_size: int = setting(512, help="positive pairs in a batch", min=1)
    negatives: int = setting(5, help="negative pairs per positive pair", min=1)
    negative_power: float = setting(
        0.75, help="negatives are drawn with probability proportional to degree to this power",
        min=0,
    )  # fmt: skip
    learning_rate: float = setting(3e-3, help="learning rate of Adam", above=0)
    weight_decay: float = setting(0.0, help="weight decay", min=0)
    steps: int = setting(1500, help="training steps", min=1)

    def check(self) -> None:
        if not self.fan_out:
            raise SettingError("fan_out", self.fan_out, "whole numbers, such as [25,10]")
        if isinstance(self.weights, tuple) and (len(self.weights) != 3 or not any(self.weights)):
            expected = "learnt, or three numbers, one of them above 0"
            raise SettingError("weights", self.weights, expected)


class SessionSteps(Group):
    """Training steps on MovieLens sessions."""

    m2grl: int = setting(1600, help="M2GRL, with any task weights", min=1)
    eges: int = setting(1000, help="EGES", min=1)
    graphsage: int = setting(600, help="GraphSAGE", min=1)
    metric: int = setting(500, help="the diversity model", min=1)


class M2GRLSettings(Group):
    """M2GRL: a skip-gram for each view, aligned."""

    dimensions: int = setting(64, help="dimensions of a vector", min=1)
    window: int = setting(9, help="window of the skip-gram, items", min=1)
    negatives: int = setting(10, help="negatives per positive pair", min=1)
    batch_size: int = setting(2048, help="pairs of each view in a batch", min=1)
    learning_rate: float = setting(0.01, help="learning rate of Adam", above=0)
    sparse: Literal["auto"] | bool = setting(
        "auto", help="sparse gradients, whose steps take as long for any catalogue; auto: above "
        "200,000 tracks",
    )  # fmt: skip
    weights: Literal["learnt", "uniform"] | tuple[float, ...] = setting(
        "learnt", help="weights of the tasks: learnt, uniform, or one number a task", min=0
    )
    clip: float | None = setting(1.0, help="max norm of the gradient; null: no limit", above=0)
    steps: int = setting(3000, help="training steps on playlists", min=1)
    session_steps: SessionSteps = group(SessionSteps, "training steps on MovieLens")
    categories: Literal["genres", "tags"] = setting("genres", help="categories of movies")
    by_weights: bool = setting(
        True, help="MovieLens: compare kinds of task weights, and items alone"
    )
    validate: bool = setting(False, help="MovieLens: predict the second-to-last session instead")


class SessionSettings(Group):
    """Sessions of MovieLens: the ratings that are used, where a session ends."""

    min_rating: float | None = setting(3, help="lower ratings are ignored; null: none", min=0)
    idle: float | None = setting(31536000, help="seconds between sessions; null: no limit", above=0)
    max_length: int | None = setting(
        50, help="max items in a session, else split evenly; null: no limit", min=1
    )
    hold_out: Literal["session", "item"] = setting(
        "session", help="what is predicted: a user's last session, or the last item alone"
    )


class TransformerSettings(Group):
    """Causal transformer over the tracks of a playlist."""

    layers: int = setting(2, help="layers", min=1)
    heads: int = setting(8, help="attention heads", min=1)
    dimensions: int = setting(128, help="width of the model", min=1)
    feed_forward: int = setting(256, help="width of the feed-forward layers", min=1)
    context: int = setting(50, help="tracks of context", min=1)
    dropout: float = setting(0.1, help="dropout", min=0, below=1)
    id_dropout: float = setting(
        0.2, help="share of tracks given without their id embedding", min=0, below=1
    )
    batch_size: int = setting(16, help="playlists in a batch", min=1)
    negatives: Literal["auto"] | int = setting(
        "auto", help="tracks of the softmax beside the right one, drawn for each batch; auto: all "
        "up to 20,000 tracks, 1,000 of more; fewer than 500 learn badly", min=1,
    )  # fmt: skip
    corrected: bool = setting(True, help="correct the bias of the sampled softmax")
    calibration: float | None = setting(
        None, help="gSASRec's t: binary cross-entropy calibrated by it, instead of the softmax",
        min=0, max=1,
    )  # fmt: skip
    learning_rate: float = setting(1e-3, help="learning rate of Adam", above=0)
    warmup: int = setting(100, help="steps in which the learning rate rises to its value", min=0)
    clip: float | None = setting(1.0, help="max norm of the gradient; null: no limit", above=0)
    weight_decay: float = setting(0.01, help="weight decay", min=0)
    steps: int = setting(3000, help="training steps", min=1)

    def check(self) -> None:
        if self.dimensions % self.heads:
            expected = f"a multiple of transformer.heads={self.heads}"
            raise SettingError("dimensions", self.dimensions, expected)


class LightGCNSettings(Group):
    """LightGCN: vectors of playlists and tracks, smoothed over the graph of both."""

    dimensions: int = setting(64, help="dimensions of a vector", min=1)
    layers: int = setting(3, help="layers; the vectors of all are averaged", min=1)
    batch_size: int = setting(4096, help="positions of playlists in a batch", min=1)
    regularisation: float = setting(1e-4, help="weight of the vectors' squared norms", min=0)
    learning_rate: float = setting(5e-3, help="learning rate of Adam", above=0)
    steps: int = setting(1000, help="training steps", min=1)


class TwoTowerSettings(Group):
    """Two-tower model: vectors of tracks from their audio embeddings, by shared playlists."""

    dimensions: int = setting(128, help="dimensions of a track vector", min=1)
    hidden: int = setting(256, help="width of the hidden layer", min=1)
    dropout: float = setting(0.1, help="dropout of the hidden layer", min=0, below=1)
    batch_size: int = setting(1024, help="pairs in a batch", min=2)
    temperature: float = setting(0.1, help="temperature of the softmax", above=0)
    learning_rate: float = setting(1e-3, help="learning rate of AdamW", above=0)
    warmup: int = setting(100, help="steps in which the learning rate rises to its value", min=0)
    clip: float | None = setting(1.0, help="max norm of the gradient; null: no limit", above=0)
    weight_decay: float = setting(0.01, help="weight decay", min=0)
    steps: int = setting(2000, help="training steps", min=1)


class CompletionSettings(Group):
    """Completion of held-out playlists (MUSIG, section 4.1)."""

    seed_share: float = setting(
        0.5, help="share of a playlist given; the rest is predicted", above=0, below=1
    )
    min_tracks: int = setting(40, help="min tracks of a test playlist", min=2)
    max_playlists: int = setting(10000, help="max test playlists", min=2)
    cold: float = setting(
        0.05, help="share of tracks left out of all training playlists", min=0, below=1
    )
    resamples: int = setting(1000, help="resamples of the playlists, for intervals", min=1)


class NoTuning(Group):
    """All settings as given."""


class Tuning(Group):
    """Settings of the recommenders are chosen on the validation part, by a search of their grids.

    Each recommender's grid is beside its name in its class (`Recommender.space`).
    """

    trials: int = setting(
        20, help="trainings of each recommender, the first with its settings as given", min=1
    )
    metric: tuple[str, ...] = setting(
        (), help="the mean of these metrics is maximised; []: hr and next_track@50, for sessions "
        "hit_rate",
    )  # fmt: skip
    keep: tuple[str, ...] = setting(
        (), help="settings that are not changed, such as [musig.steps,transformer.steps]"
    )


class FitSettings(Group):
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = setting("auto", help="device type")
    precision: Literal["32-true", "bf16-mixed", "64-true"] = setting(
        "32-true", help="precision of training"
    )
    workers: int = setting(0, help="processes that make batches", min=0)
    log_every: int = setting(20, help="steps between two rows of the log", min=1)
    checkpoint_every: int = setting(500, help="steps between two checkpoints", min=1)


class RecommendSettings(CommandSettings):
    playlists: Path = setting(
        help="playlists.duckdb, .csv, .parquet, .json slices, a folder of .m3u files, or "
        "NAME:FOLDER of a published data set, such as nyphil:FOLDER or movielens:FOLDER",
    )  # fmt: skip
    model: tuple[str, ...] = setting(
        ("musig",), help="models to train and compare, by name or MODULE.CLASS: musig, m2grl, "
        "transformer, two_tower, lightgcn or any of baselines=",
    )  # fmt: skip
    unknown: Literal["keep", "drop", "refuse"] = setting(
        "drop", help="tracks of the playlists that no feature store has: drop lists them and exits "
        "with status 3, keep uses them without features",
    )  # fmt: skip
    music: Path | None = setting(
        None, help="folder that the features' ids are relative to, for .m3u"
    )
    run_dir: Path | None = setting(None, help="output folder; null: runs/recommend-DATE-TIME")
    ckpt_path: Literal["last"] | None = setting(None, help="last: resume the run of run_dir")
    seed: int = setting(0, help="seed of splits, weights and batches", min=0)
    seeds: int = setting(
        1, help="training seeds, from seed= on; figures are means over them", min=1
    )
    features: tuple[FEATURES, ...] = setting(
        ("popularity",), help="node attributes; identity: singular vectors of the training "
        "playlists, which cold tracks lack",
    )  # fmt: skip
    missing: Literal["impute", "refuse"] = setting(
        "impute", help="tracks without features: the mean, with a count, or an error"
    )
    stores: StoreSettings = group(StoreSettings, "feature stores")
    baselines: tuple[str, ...] | None = setting(
        None, help="recommenders beside the models; null: the usual ones for the data"
    )
    ensemble: tuple[str, ...] = setting(
        ("ease", "playlist_knn"), help="recommenders that model=ensemble joins by reciprocal rank"
    )
    by_features: bool = setting(
        False, help="MUSIG, GraphSAGE and Track2Vec with each group of features (MUSIG, Table 2)"
    )
    by_task: bool = setting(
        False, help="MUSIG with audio or acoustic similarity and features (Table 3)"
    )
    by_weights: bool = setting(
        False, help="MUSIG with each published set of task weights, and learnt"
    )
    published: bool = setting(
        False, help="MovieLens: also the protocol of a paper, SASRec's sampled metrics if "
        "sessions.hold_out=item, else GRU4Rec's next item at each position",
    )  # fmt: skip
    tune: NoTuning | Tuning = variants(
        {"false": NoTuning, "true": Tuning}, "false",
        help="choose settings of the recommenders on the validation part, never on test",
        selector="tune",
    )  # fmt: skip
    overrides: tuple[str, ...] = setting(
        (), help="settings of single recommenders, NAME:KEY=VALUE, such as "
        "[ease:ease.penalty=50,graphsage:musig.steps=500]",
    )  # fmt: skip
    graph: GraphSettings = group(GraphSettings, "graph of co-occurring tracks")
    musig: MusigSettings = group(MusigSettings, "MUSIG and GraphSAGE")
    m2grl: M2GRLSettings = group(M2GRLSettings, "M2GRL")
    sessions: SessionSettings = group(SessionSettings, "sessions of MovieLens")
    transformer: TransformerSettings = group(TransformerSettings, "transformer")
    lightgcn: LightGCNSettings = group(LightGCNSettings, "LightGCN")
    two_tower: TwoTowerSettings = group(TwoTowerSettings, "two-tower model of content")
    recency: float | None = setting(
        None, help="weight of a track of a history, to the power of the number of later ones, in "
        "systems that sum over it; null: 0.9 on sessions, 1 on playlists", above=0, max=1,
    )  # fmt: skip
    item_cf: SimilarTracksSettings = group(SimilarTracksSettings, "item-CF")
    pmi: SimilarTracksSettings = group(SimilarTracksSettings, "PMI")
    playlist_knn: PlaylistKNNSettings = group(PlaylistKNNSettings, "playlist kNN")
    ease: EaseSettings = group(EaseSettings, "EASE")
    svd: SVDSettings = group(SVDSettings, "SVD")
    als: ALSSettings = group(ALSSettings, "ALS")
    bpr: BPRSettings = group(BPRSettings, "BPR")
    warp: WarpSettings = group(WarpSettings, "matrix factorisation with the WARP loss")
    track2vec: Word2VecSettings = group(Word2VecSettings, "Track2Vec")
    completion: CompletionSettings = group(CompletionSettings, "completion of held-out playlists")
    trainer: FitSettings = group(FitSettings, "training")

    def check(self) -> None:
        lists = {"model": self.model, "baselines": self.baselines or (), "ensemble": self.ensemble,
                 "overrides": tuple(one.partition(":")[0] for one in self.overrides)}  # fmt: skip
        for key, names in lists.items():
            for name in names:
                if name not in RECOMMENDERS and "." not in name:
                    known = ", ".join(RECOMMENDERS)
                    expected = (
                        f"{name} is not known.{suggestion(name, RECOMMENDERS)} Known: {known}"
                    )
                    raise SettingError(key, names, expected)
        for one in self.overrides:
            word = one.partition(":")[2]
            if word.partition("=")[0].partition(".")[0] not in OF_RECOMMENDERS:
                expected = f"NAME:KEY=VALUE, with a KEY of {', '.join(OF_RECOMMENDERS)}"
                raise SettingError("overrides", one, expected)
            read_words(type(self), [word])  # refuses wrong keys and values
        if isinstance(self.tune, Tuning) and self.m2grl.validate:
            expected = "m2grl.validate=true measures what tune=true chooses on: give one of them"
            raise SettingError("tune", True, expected)
        if self.ckpt_path is not None and self.run_dir is None:
            expected = "name the folder of the run to resume with run_dir="
            raise SettingError("ckpt_path", self.ckpt_path, expected)

    def of(self, name: str) -> Self:
        """The settings of a recommender: these, with the overrides of its name.

        Raises:
            SslAudioError: overrides that do not fit together.
        """
        words = [one.partition(":")[2] for one in self.overrides if one.partition(":")[0] == name]
        if not words:
            return self
        values = plain(self)
        for word in words:
            values = merged(values, read_words(type(self), [word]).values)
        return build(type(self), values)
