"""Recommenders by the names of `model=` and `baselines=`; one more is one more line.

An entry is called with the settings of `recommend` and the training data, and gives a recommender
(`ssl_audio.recommenders.recommender.Recommender`) or a list of them; classes and functions are
imported when they are used.
"""

from ssl_audio.settings.registry import Registry

_BASELINES, _SYSTEMS = "ssl_audio.recommenders.baselines", "ssl_audio.recommenders.systems"
RECOMMENDERS = Registry({
    "random": f"{_BASELINES}.popularity.RandomOrder",
    "popularity": f"{_BASELINES}.popularity.Popularity",
    "artist_popularity": f"{_BASELINES}.artist_popularity.ArtistPopularity",
    "item_cf": f"{_BASELINES}.item_cf.ItemCF",
    "pmi": f"{_BASELINES}.pmi.PMI",
    "playlist_knn": f"{_BASELINES}.playlist_knn.PlaylistKNN",
    "ease": f"{_BASELINES}.ease.Ease",
    "svd": f"{_BASELINES}.svd.SVD",
    "als": f"{_BASELINES}.factors.ALS",
    "bpr": f"{_BASELINES}.factors.BPR",
    "warp": f"{_BASELINES}.matrix_factorisation.Warp",
    "track2vec": f"{_BASELINES}.track2vec.Track2Vec",
    "skipgram": f"{_BASELINES}.track2vec.SkipGram",
    "deepwalk": f"{_BASELINES}.node2vec.DeepWalk",
    "node2vec": f"{_BASELINES}.node2vec.Node2Vec",
    "line": f"{_BASELINES}.line.Line",
    "eges": f"{_BASELINES}.eges.EgesRecommender",
    "embeddings": f"{_BASELINES}.embeddings.embeddings",
    "ensemble": f"{_BASELINES}.ensemble.Ensemble",
    "graphsage": f"{_SYSTEMS}.musig.graphsage",
    "musig": f"{_SYSTEMS}.musig.GraphRecommender",
    "m2grl": f"{_SYSTEMS}.m2grl.m2grl",
    "transformer": f"{_SYSTEMS}.transformer.TransformerRecommender",
    "lightgcn": f"{_SYSTEMS}.lightgcn.LightGCNRecommender",
    "two_tower": f"{_SYSTEMS}.two_tower.TwoTowerRecommender",
})  # fmt: skip
# variants of the models, by the setting that includes them
VARIANTS = Registry({
    "by_features": f"{_SYSTEMS}.musig.by_features",
    "by_task": f"{_SYSTEMS}.musig.by_task",
    "by_weights": f"{_SYSTEMS}.musig.by_weights",
})  # fmt: skip
# without baselines=, on playlists and on sessions
ON_PLAYLISTS = (
    "random", "popularity", "artist_popularity", "item_cf", "pmi", "playlist_knn", "ease", "svd",
    "als", "bpr", "warp", "track2vec", "node2vec", "graphsage", "embeddings",
)  # fmt: skip
ON_SESSIONS = (
    "popularity", "item_cf", "pmi", "playlist_knn", "ease", "svd", "als", "bpr", "deepwalk",
    "node2vec", "line", "eges", "graphsage", "skipgram",
)  # fmt: skip
