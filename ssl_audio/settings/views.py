"""The transforms of `views=` by name."""

TRANSFORMS = {
    "gain": "ssl_audio.audio.views.level.Gain",
    "polarity": "ssl_audio.audio.views.level.Polarity",
    "noise": "ssl_audio.audio.views.noise.Noise",
    "filter": "ssl_audio.audio.views.filter.Filter",
    "speed": "ssl_audio.audio.views.speed.Speed",
    "frontend": "ssl_audio.audio.views.other_frontend.OtherFrontEnd",
    "mix": "ssl_audio.audio.views.mixing.Mix",
    "time_mask": "ssl_audio.audio.views.mask.TimeMask",
    "frequency_mask": "ssl_audio.audio.views.mask.FrequencyMask",
    "patch_mask": "ssl_audio.audio.views.mask.PatchMask",
}
