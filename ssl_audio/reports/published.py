"""Published ROC-AUC and mAP of probes on frozen embeddings, by data set and objective."""

SOURCE = (
    "Meseguer-Brocal et al. 2024, trained on millions of tracks; read off the figure of a poster, "
    "within 0.002. Protocols and versions of the audio differ between papers."
)
PUBLISHED = {
    "mtat": {
        "contrastive": (0.898, 0.430), "clustering": (0.884, 0.398), "Barlow Twins": (0.864, 0.365),
        "BYOL": (0.863, 0.364), "VICReg": (0.861, 0.359),
    },
    "msd100": {
        "contrastive": (0.864, 0.224), "clustering": (0.854, 0.203), "Barlow Twins": (0.837, 0.179),
        "BYOL": (0.837, 0.162), "VICReg": (0.820, 0.163),
    },
    "jamendo_top50": {
        "contrastive": (0.783, 0.243), "clustering": (0.780, 0.238), "Barlow Twins": (0.776, 0.235),
        "BYOL": (0.758, 0.203), "VICReg": (0.767, 0.215),
    },
    "jamendo_instrument": {
        "contrastive": (0.700, 0.154), "clustering": (0.689, 0.140), "Barlow Twins": (0.683, 0.140),
        "BYOL": (0.686, 0.146), "VICReg": (0.675, 0.128),
    },
    "jamendo_mood": {
        "contrastive": (0.725, 0.114), "clustering": (0.723, 0.115), "Barlow Twins": (0.711, 0.112),
        "BYOL": (0.718, 0.098), "VICReg": (0.703, 0.101),
    },
}  # fmt: skip
