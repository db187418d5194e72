"""Train an encoder on unlabelled audio: `ssl-audio pretrain recipe=contrastive`."""

import sys
from functools import partial

from ssl_audio.io.console import say, warn
from ssl_audio.io.run_folder import is_leader
from ssl_audio.settings.command import Command
from ssl_audio.settings.pretrain import PretrainSettings

COMMAND = Command(
    name="pretrain",
    summary="Train an encoder on unlabelled audio.",
    usage="recipe=NAME [schedule=NAME] [data=KIND] [KEY=VALUE ...]",
    examples=(
        "recipe=contrastive data=folder data.root=/music trainer.max_time=00:08:00:00",
        "recipe=contrastive data=folder data.root=/music run_dir=runs/mine ckpt_path=last",
    ),
    settings=PretrainSettings,
    named_recipes=True,
)


def run(settings: PretrainSettings) -> None:
    from ssl_audio.training.pretrain import pretrain
    from ssl_audio.training.summary import summary

    results = pretrain(settings)
    if is_leader():
        for line in summary(results):
            say(line)
        if results.collapsed:
            warn("the embeddings have collapsed: this encoder is of little use")


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
