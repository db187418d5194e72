"""What requests take and what they answer."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

MAX_RESULTS = 1000  # of one request
MAX_IDS = 10_000  # in one request

Count = Annotated[int, Field(ge=1, le=MAX_RESULTS)]
Text = Annotated[str, Field(max_length=4096)]


class Asked(BaseModel):
    """Base of requests: a key that is not known is refused."""

    model_config = ConfigDict(extra="forbid")


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


class FileNamed(Asked):
    """A file on the service's machine."""

    path: Text = Field(description="below one of roots=; a relative path is looked for in each")


class NeighbourQuery(Asked):
    """What to look for, by exactly one of `id`, `vector` and `path`."""

    id: Text | None = None
    vector: list[FiniteFloat] | None = Field(None, max_length=65_536)
    path: Text | None = None
    k: Count = 10
    prefix: Text = Field("", description="only tracks whose id starts with it")
    exclude: list[Text] = Field([], max_length=MAX_IDS, description="ids to leave out")

    @model_validator(mode="after")
    def one_query(self) -> Self:
        if sum(value is not None for value in (self.id, self.vector, self.path)) != 1:
            raise ValueError("give exactly one of id, vector and path")
        return self


class CompletionQuery(Asked):
    """A playlist to continue."""

    ids: list[Text] = Field(min_length=1, max_length=MAX_IDS)
    length: Count = Field(30, description="tracks to add")
    model: Text | None = Field(None, description="one of the models of /health")
    seed: int = Field(0, ge=0, lt=2**32, description="of models that draw the next track")


class Completion(BaseModel):
    """The continuation of a playlist."""

    model: str
    ids: list[str] = Field(description="added tracks, in order; none of the playlist's own")
    unknown: list[str] = Field(description="tracks of the playlist that the model does not know")
