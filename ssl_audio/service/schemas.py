"""What requests take and what they answer."""

from typing import Annotated, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationInfo,
    model_validator,
)

MAX_RESULTS = 1000  # of one request
MAX_IDS = 10_000  # in one request

Count = Annotated[int, Field(ge=1, le=MAX_RESULTS)]
Text = Annotated[str, Field(max_length=4096)]


class Values(BaseModel):
    """Base of requests: a key that is not known is refused."""

    model_config = ConfigDict(extra="forbid")


def is_upload(info: ValidationInfo) -> bool:
    """True if the values that are checked came with a file."""
    return bool(info.context and info.context["upload"])


class Health(BaseModel):
    """State of the service."""

    status: str
    version: str
    tracks: int
    store: str = Field(description="changes with each version of the store that is loaded")
    encoder: bool = Field(description="audio can be embedded")
    tags: list[str] = Field(description="of the probe; empty without one")
    acoustic: bool
    models: list[str] = Field(description="that /complete takes, the default first")
    inductive: str | None = Field(description="the model of vectors of new tracks")


class Track(BaseModel):
    """A track of the store."""

    id: str
    path: str
    seconds: float | None = Field(None, description="duration, if the store has it")


class Tag(BaseModel):
    """A tag of a track."""

    name: str
    probability: float
    present: bool = Field(description="the probability reaches the tag's threshold")


class TrackDetails(Track):
    """A track and what is known of it."""

    acoustic: dict[str, float] | None = Field(None, description="8 features, 0 to 1")
    tags: list[Tag] | None = Field(None, description="most probable first")


class Found(BaseModel):
    """Tracks that a text was found in."""

    total: int = Field(description="of all tracks found, of which `limit` are given")
    tracks: list[Track]


class Waveform(BaseModel):
    """The shape of a recording."""

    seconds: float
    peaks: list[float] = Field(description="largest absolute value of each part, 0 to 1")


class Neighbour(BaseModel):
    """A track near a query."""

    id: str
    similarity: float = Field(description="cosine, -1 to 1")


class FileQuery(Values):
    """An audio file: uploaded as `file`, or named by `path`."""

    path: Text | None = Field(
        None, description="below one of roots=; a relative path is looked for in each"
    )

    @model_validator(mode="after")
    def one_file(self, info: ValidationInfo) -> Self:
        if (self.path is None) != is_upload(info):
            raise ValueError("give either a file or its path")
        return self


class NewTrackQuery(FileQuery):
    """A file that no playlist has, and how much is to be said of it."""

    k: Count = Field(10, description="neighbours")
    prefix: Text = Field("", description="only neighbours whose id starts with it")
    length: Count = Field(30, description="tracks of the playlist")


class NeighbourQuery(Values):
    """What to look for, by exactly one of `id`, `vector`, `path` and an uploaded `file`."""

    id: Text | None = None
    vector: list[FiniteFloat] | None = Field(None, max_length=65_536)
    path: Text | None = None
    k: Count = 10
    prefix: Text = Field("", description="only tracks whose id starts with it")
    exclude: list[Text] = Field([], max_length=MAX_IDS, description="ids to leave out")

    @model_validator(mode="after")
    def one_query(self, info: ValidationInfo) -> Self:
        given = sum(value is not None for value in (self.id, self.vector, self.path))
        if given + is_upload(info) != 1:
            raise ValueError("give exactly one of id, vector, path and file")
        return self


class CompletionQuery(Values):
    """A playlist to continue."""

    ids: list[Text] = Field([], max_length=MAX_IDS, description="or an M3U as `file`")
    length: Count = Field(30, description="tracks to add")
    model: Text | None = Field(None, description="one of the models of /health")
    seed: int = Field(0, ge=0, lt=2**32, description="of models that draw the next track")

    @model_validator(mode="after")
    def one_playlist(self, info: ValidationInfo) -> Self:
        if bool(self.ids) == is_upload(info):
            raise ValueError("give either ids or a file")
        return self


class Completion(BaseModel):
    """The continuation of a playlist."""

    model: str
    ids: list[str] = Field(description="added tracks, in order; none of the playlist's own")
    unknown: list[str] = Field(description="tracks of the playlist that the model does not know")


class Embedded(BaseModel):
    """The embedding of a file."""

    seconds: float
    note: str = Field(description="what of the file could not be decoded, or that it is silent")
    embedding: list[float]


class Tagged(BaseModel):
    """The tags of a file."""

    seconds: float
    note: str
    tags: list[Tag] = Field(description="most probable first")


class Inductive(BaseModel):
    """The vector that a playlist model gives a new track."""

    model: str
    vector: list[float]


class NewTrack(Embedded):
    """All that can be said of a file that no playlist has."""

    acoustic: dict[str, float] | None = Field(description="8 features, 0 to 1")
    tags: list[Tag] | None = Field(description="most probable first")
    neighbours: list[Neighbour]
    inductive: Inductive | None
    playlist: Completion = Field(
        description="around the inductive vector; without one, from the nearest tracks on"
    )
