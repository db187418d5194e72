"""The loss on held-out tracks: its value, and that training is the same as without it."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ssl_audio.audio.held_out import split_tracks
from ssl_audio.audio.scan import Track, scan
from ssl_audio.audio.sources import find_audio
from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.contrastive import nt_xent
from ssl_audio.pretrain import COMMAND, main
from ssl_audio.settings.pretrain import FolderData, ValidationSettings
from ssl_audio.training import build
from ssl_audio.training.budget import Budget
from ssl_audio.training.callbacks import ReadFailures
from ssl_audio.training.data import PairDataModule
from ssl_audio.training.validation import split

RATE, SHARE = 16_000, 0.4


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty tracks of 4 s in a folder, and a list of those that are trained on."""
    folder = tmp_path_factory.mktemp("music") / "album"
    folder.mkdir()
    for k in range(20):
        noise = np.random.default_rng(k).normal(0, 0.1, 4 * RATE)
        soundfile.write(folder / f"{k}.wav", noise * np.linspace(0, 1, 4 * RATE) ** k, RATE)
    training, held_out = split_tracks(scan(find_audio(folder), cache=folder).tracks, SHARE)
    assert len(training) >= 4 and len(held_out) >= 6
    (folder / "training.txt").write_text("".join(f"{track.path}\n" for track in training))
    return folder


pytestmark = pytest.mark.usefixtures("own_folder")


def words(music: Path, run: str, *more: str, steps: int = 3, recipe: str = "byol") -> list[str]:
    return [
        f"recipe={recipe}", "data=folder", f"data.root={music}", f"run_dir={run}",
        "data.batch_size=4", "data.segment=1", "data.min_offset=1", "data.max_offset=2",
        "data.workers=0", "encoder.backbone=test_resnet", "encoder.embedding_size=16",
        "objective.projector_sizes=[16,16]",
        f"trainer.max_steps={steps}", "trainer.precision=32-true", "trainer.accelerator=cpu",
        "learning_rate.warmup=0", "learning_rate.final=1", "online_probe=none", *more,
    ]  # fmt: skip


VALIDATED = (f"validation.share={SHARE}", "validation.every_n_steps=2", "views=light")


def weights(run: str) -> dict[str, torch.Tensor]:
    saved = torch.load(f"{run}/checkpoints/last.ckpt", weights_only=False)["state_dict"]
    assert isinstance(saved, dict)
    return saved


def results(run: str) -> dict:
    return json.loads(Path(run, "results.json").read_text())


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def interrupt(self, trainer, *_):
    if trainer.global_step == 2:
        raise KeyboardInterrupt


def test_training_is_that_on_the_other_tracks_and_resumes_with_its_losses(music, capsys):
    assert main(words(music, "validated", *VALIDATED)) == 0
    printed = capsys.readouterr().err
    found = results("validated")
    held_out, tracks = found["data"]["held_out"], found["data"]["tracks"]
    assert held_out + tracks == 20
    assert f"{held_out} tracks held out for validation" in printed
    assert found["validation"]["step"] == [2, 3]
    assert set(found["validation"]["terms"]) == {"loss", "similarity"}
    last = found["validation"]["terms"]["loss"][-1]
    assert found["metrics"]["validation/loss"] == pytest.approx(last, rel=1e-6)
    assert f"loss on held-out tracks {last:.4g}" in printed
    card = Path("validated/encoder/README.md").read_text()
    assert f"- loss on {held_out} held-out tracks: {last:.4g}\n" in card
    log = Path("validated/logs/csv/metrics.csv").read_text()
    assert "validation/loss" in log and f"{last:.6f}"[:6] in log

    listed = ("data=manifest", f"data.root={music / 'training.txt'}", "views=light")
    assert main(words(music, "alone", *listed)) == 0
    assert results("alone")["validation"] is None
    assert same(weights("validated"), weights("alone"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReadFailures, "on_train_batch_start", interrupt)
        assert main(words(music, "parts", *VALIDATED, "trainer.checkpoint_every=2")) == 130
    assert main(words(music, "parts", *VALIDATED, "ckpt_path=last")) == 0
    assert same(weights("validated"), weights("parts"))
    assert results("parts")["validation"] == found["validation"]


def test_the_loss_is_that_of_the_networks_in_evaluation_mode(music):
    given = words(music, "run", f"validation.share={SHARE}", "views=light", recipe="contrastive")
    assert main(given) == 0
    settings = COMMAND.load(given)
    module = build.build_module(settings)
    module.load_state_dict(weights("run"))
    module.eval()
    data = PairDataModule(settings.data, 0, RATE, settings.validation)
    data.setup()
    data.follow(Budget(3, 4))
    losses = []
    with torch.no_grad():
        for batch in data.held_out_batches():
            files = [data.tracks[int(k)].path for k in batch["index"]]
            assert len(files) == 4 and not {*files} & {one.path for one in data.dataset.tracks}
            crops = [
                soundfile.read(path, start=round(float(start) * RATE), frames=RATE)[0]
                for starts in batch["starts"]
                for path, start in zip(files, starts, strict=True)
            ]
            embedded = module.encoder(torch.tensor(np.stack(crops), dtype=torch.float32))
            projected = module.objective.projector(embedded).double().unflatten(0, (2, 4))
            losses.append(float(nt_xent(projected, 0.1)))
    assert len(losses) == min(4, len(data.held_out) // 4)
    found = results("run")["validation"]["terms"]["loss"]
    assert found == [pytest.approx(np.mean(losses), rel=1e-4)]


def test_the_pairs_are_the_same_for_any_seed_and_order(music):
    def pairs(seed):
        chosen = ValidationSettings(share=SHARE, batches=1)
        settings = FolderData(root=music, segment=1, min_offset=1, batch_size=4, workers=0)
        data = PairDataModule(settings, seed, RATE, chosen)
        data.setup()
        data.follow(Budget(3, 4))
        return next(iter(data.held_out_batches()))

    assert torch.equal(pairs(0)["anchor"], pairs(1)["anchor"])


def test_few_tracks_are_not_held_out_by_default():
    def held_out(tracks, **options):
        listed = [Track(f"/music/{k % 30}/{k}.mp3", 30.0, group=f"{k % 30}") for k in range(tracks)]
        return len(split(listed, ValidationSettings(**options))[1])

    assert held_out(1999) == 0 and 60 < held_out(2000) < 140
    assert held_out(50, share=0.0) == 0 and 10 < held_out(200, share=0.1) < 35
    assert held_out(300, share=0.2, by="group") % 10 == 0


def test_a_share_without_tracks_on_both_sides_is_refused():
    tracks = [Track(f"/music/{k}.mp3", 30.0, group="music") for k in range(5)]
    for share, what in ((1e-9, "none"), (0.999, "all")):
        with pytest.raises(SslAudioError) as error:
            split(tracks, ValidationSettings(share=share, by="group"))
        assert str(error.value) == (
            f"validation.share={share:g} holds out {what} of 5 tracks by their group: choose "
            "another share or validation.by, or validation.share=0"
        )


def test_held_out_tracks_too_short_for_a_pair_are_refused(music):
    settings = FolderData(root=music, segment=1, min_offset=1, short="drop", workers=0)
    data = PairDataModule(settings, 0, RATE, ValidationSettings(share=SHARE))
    data.setup()
    data.held_out = data._pairs([], 0)
    with pytest.raises(SslAudioError, match="^0 held-out tracks are too few for a batch: raise"):
        data.follow(Budget(3, 4))
