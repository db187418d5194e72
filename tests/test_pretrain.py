"""The command `pretrain`: what it trains and writes, what it refuses, how it resumes."""

import csv
import json
import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from processes import start
from readmes import write_files

from ssl_audio.audio.held_out import split_tracks
from ssl_audio.audio.scan import scan
from ssl_audio.audio.sources import find_audio
from ssl_audio.pretrain import COMMAND, main

ROOT = Path(__file__).resolve().parents[1]
FIVE = ["contrastive", "byol", "clustering", "barlow_twins", "vicreg"]
SMALL = [
    "data=folder", "data.batch_size=4", "data.segment=1.0", "data.min_offset=1.0",
    "data.max_offset=3.0", "data.workers=0", "trainer.max_steps=2", "trainer.log_every_n_steps=1",
    "trainer.precision=32-true", "trainer.accelerator=cpu", "collapse.every_n_steps=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tracks of 6 s, each a chord that changes over time, and a broken file."""
    folder = tmp_path_factory.mktemp("music")
    seconds = np.arange(6 * 16000) / 16000
    for index in range(6):
        rng = np.random.default_rng(index)
        tones = sum(np.sin(2 * np.pi * f * seconds) for f in rng.uniform(100, 4000, 4))
        noise = rng.normal(0, 0.05, len(seconds))
        soundfile.write(folder / f"{index}.wav", 0.1 * tones * (1 + seconds / 8) + noise, 16000)
    (folder / "broken.wav").write_bytes(b"RIFF but no audio")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_folder(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_AUDIO_CACHE", str(cache))


@pytest.fixture(scope="module")
def finished(cache: Path, music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_AUDIO_CACHE", str(cache))
        assert main([*tiny(music), f"run_dir={folder}"]) == 0
    return folder


def words(music: Path, *more: str, recipe: str = "contrastive") -> list[str]:
    return [f"recipe={recipe}", *SMALL, f"data.root={music}", *more]


def tiny(music: Path, *more: str, recipe: str = "contrastive") -> list[str]:
    """`words`, with a small network, embedding and projector."""
    sizes = ["encoder.backbone=test_resnet", "encoder.embedding_size=32",
             "objective.projector_sizes=[32,32]"]  # fmt: skip
    return words(music, *sizes, *more, recipe=recipe)


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """The only line of an error."""
    assert main(arguments) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    return error


def left_behind() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def results_of(run: str) -> dict:
    return json.loads(Path(run, "results.json").read_text())


def losses(run: str) -> dict[int, float]:
    """Step to loss, from all CSV logs of a run; later ones take precedence."""
    found = {}
    for path in sorted(Path(run).glob("logs/**/metrics*.csv"), key=lambda p: p.stat().st_mtime):
        with path.open() as file:
            for row in csv.DictReader(file):
                if row.get("train/loss"):
                    found[int(row["step"])] = float(row["train/loss"])
    return found


# --- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", FIVE)
def test_each_recipe_trains_and_its_encoder_loads(recipe, music, capsys):
    import torch

    import ssl_audio

    assert main(tiny(music, "run_dir=my run", "encoder.whitening=null", recipe=recipe)) == 0
    results = results_of("my run")
    assert results["steps"] == 2 and results["recipe"] == recipe
    assert results["data"]["tracks"] == 6 and results["data"]["skipped"] == 1
    assert np.isfinite(results["metrics"]["train/loss"])
    assert "broken.wav" in Path("my run/skipped.csv").read_text()
    for name in ("versions.json", "checkpoints/last.ckpt", "logs/csv/metrics.csv"):
        assert Path("my run", name).is_file()
    encoder = ssl_audio.load_encoder("my run/encoder")
    assert encoder(torch.randn(2, 16000)).shape == (2, 32)
    card = Path("my run/encoder/README.md").read_text()
    assert f"ssl-audio pretrain recipe={recipe} data=folder" in card and "No probe" in card
    assert_exported(Path("my run"), has_teacher=recipe in ("byol", "clustering"))
    assert not list(Path("my run").rglob("*.tmp*"))
    assert "load_encoder" in capsys.readouterr().err


def assert_exported(run, has_teacher):
    """The folders beside the encoder hold the weights of the checkpoint."""
    import torch

    import ssl_audio

    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    folders = {"encoder": "encoder.", "projector": "objective.projector."}
    others = {"teacher": "teacher.encoder.", "teacher-projector": "teacher.projector."}
    for name, prefix in {**folders, **(others if has_teacher else {})}.items():
        load = ssl_audio.load_projector if "projector" in name else ssl_audio.load_encoder
        found = load(run / name).state_dict()
        expected = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert (run / "teacher").exists() is has_teacher


def test_the_configuration_of_a_run_is_a_recipe_that_gives_the_same_settings(finished, music):
    written = COMMAND.load([f"recipe={finished / 'config.yaml'}"])
    expected = COMMAND.load([*tiny(music), f"run_dir={finished}"])
    assert replace(written, recipe=expected.recipe, command="") == expected


def test_selectors(music):
    chosen = ["frontend=released", "online_probe=none", "run_dir=run", "trainer.max_steps=1",
              "objective.same_track_weight=0"]  # fmt: skip
    assert main(tiny(music, *chosen)) == 0
    config = results_of("run")["config"]
    assert config["frontend"] == "released" and config["online_probe"] == {"name": "none"}
    frontend = json.loads(Path("run/encoder/config.json").read_text())["encoder"]["frontend"]
    assert frontend["f_max"] == 11025


def test_a_probe_on_the_synthesised_corpus_goes_into_results_and_card(demo_corpus):
    chosen = ["data=demo", "data.tracks=24", "data.seconds=13.0", "online_probe.every_n_steps=2"]
    assert main(tiny(demo_corpus, *chosen, "run_dir=run")) == 0
    results = results_of("run")
    assert list(results["probe"]) == ["mel statistics", "untrained", "trained"]
    trained = results["probe"]["trained"]
    assert 0 < results["metrics"]["probe/map"] <= 1  # on validation
    header = yaml.safe_load(Path("run/encoder/README.md").read_text().split("---")[1])
    assert header["license"] == "mit" and header["library_name"] == "ssl_audio"
    metrics = {m["type"]: m["value"] for m in header["model-index"][0]["results"][0]["metrics"]}
    assert metrics["roc_auc"] == pytest.approx(trained["roc_auc"], abs=1e-4)


def test_a_sixth_objective_is_a_file_and_a_recipe_as_the_readme_says(music, capsys):
    write_files(ROOT / "ssl_audio" / "objectives" / "README.md", Path())
    assert left_behind() == ["pull_together.py", "pull_together.yaml"]
    arguments = words(music, "run_dir=run", "objective.strength=3.0", recipe="pull_together.yaml")
    assert "Did you mean strength?" in refused(capsys, [*arguments, "objective.strenght=3"])
    assert main(arguments) == 0
    results = results_of("run")
    assert results["recipe"] == "pull_together" and np.isfinite(results["metrics"]["train/loss"])
    assert results["config"]["objective"] == {
        "_target_": "pull_together.PullTogether", "strength": 3.0
    }  # fmt: skip


OPTIONS = {
    "byol": ["data.crop_segment=0.5", "objective.projector_sizes=[32,32]"],
    "masked": ["encoder.backbone=test_vit"],
}
# a file, which Lightning starts once more for the second process; both train one run after another
ALL_RUNS = """
import json, sys
from ssl_audio.pretrain import main

for words in json.loads(sys.argv[1]):
    assert main(words) == 0
"""


def run_all(words):
    """The script in the folder, on the runs, that are named; returns the exit status."""
    os.chdir(words[0])
    Path("all_runs.py").write_text(ALL_RUNS)
    sys.argv = ["all_runs.py", words[1]]
    runpy.run_path("all_runs.py")
    return 0


@pytest.mark.slow
def test_two_processes_train_as_one(music, monkeypatch):
    def two_are_held_out(share):
        return len(split_tracks(scan(find_audio(music)).tracks, share)[1]) == 2

    share = next(filter(two_are_held_out, np.linspace(0, 1, 100)))
    common = ["views=strong", "trainer.chunk_size=2", "data.crops=1", "encoder.embedding_size=32",
              "online_probe=none", f"validation.share={share}",
              "validation.every_n_steps=1"]  # fmt: skip
    runs = {recipe: words(music, *common, *more, recipe=recipe) for recipe, more in OPTIONS.items()}
    for recipe, arguments in runs.items():
        assert main([*arguments, f"run_dir={recipe}-one"]) == 0
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    twice = [[*arguments, f"run_dir={recipe}-two", "trainer.devices=2"]
             for recipe, arguments in runs.items()]  # fmt: skip
    process = start(run_all, [os.getcwd(), json.dumps(twice)])
    process.join(500)
    assert process.exitcode == 0
    for recipe in runs:
        one, two = losses(f"{recipe}-one"), losses(f"{recipe}-two")
        assert sorted(one) == sorted(two) == [0, 1]
        # the second step follows Adam, which makes a whole step of a gradient that is rounding
        assert list(two.values()) == pytest.approx(list(one.values()), rel=1e-3), recipe
        one, two = (results_of(f"{recipe}-{n}")["validation"]["terms"]["loss"]
                    for n in ("one", "two"))  # fmt: skip
        assert len(one) == 2 and two == pytest.approx(one, rel=1e-3), recipe


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_real_music(shared):
    scores = shared / "audio" / "scores"
    arguments = ["recipe=contrastive", "data=jamendo", f"data.root={scores / 'audio'}",
                 f"data.tsv={scores / 'scores-validation.tsv'}", "data.batch_size=8",
                 "trainer.max_steps=2", "online_probe=none", "run_dir=run"]  # fmt: skip
    assert main(arguments) == 0
    results = results_of("run")
    assert results["data"]["tracks"] == 63 and not results["collapsed"]


# --- resuming ------------------------------------------------------------------------------------


def test_a_run_in_parts_has_the_weights_of_a_whole_one(finished, music):
    """With transforms, crops, chunks and a frozen teacher."""
    import torch

    arguments = tiny(
        music, "data.crops=2", "data.crop_segment=0.5", "learning_rate.warmup=0",
        "learning_rate.final=1", "views=strong", "trainer.chunk_size=2",
        f"teacher={finished / 'encoder'}", "teacher_hop=0.5", recipe="distillation",
    )  # fmt: skip
    assert main([*arguments, "run_dir=whole", "trainer.max_steps=3"]) == 0
    assert main([*arguments, "run_dir=parts", "trainer.max_steps=1"]) == 0
    more = ["trainer.max_steps=3", "ckpt_path=last", "data.workers=1"]
    assert main([*arguments, "run_dir=parts", *more]) == 0
    whole, parts = (
        torch.load(f"{run}/checkpoints/last.ckpt", weights_only=False)["state_dict"]
        for run in ("whole", "parts")
    )
    assert all(torch.equal(weights, parts[name]) for name, weights in whole.items())


def test_a_finished_run_resumes_with_more_steps(finished, music, capsys):
    shutil.copytree(finished, "run")
    arguments = tiny(music, "run_dir=run")
    assert "already holds a run" in refused(capsys, arguments)
    more = [*arguments, "trainer.max_steps=4"]
    shutil.move("run/checkpoints/last.ckpt", "epoch=0-step=2.ckpt")
    assert "no file" in refused(capsys, [*more, "ckpt_path=last"])
    assert main([*more, "ckpt_path=epoch=0-step=2.ckpt"]) == 0
    assert sorted(losses("run")) == [0, 1, 2, 3] and results_of("run")["steps"] == 4
    assert Path("run/config-resumed.yaml").is_file()
    assert "raise trainer.max_steps=" in refused(capsys, [*more, "ckpt_path=last"])


def test_a_run_that_was_killed_before_its_encoder_was_written_is_finished(finished, music, capsys):
    shutil.copytree(finished, "run")
    weights = Path("run/encoder/model.safetensors").read_bytes()
    for name in ("encoder", "projector"):
        shutil.rmtree(f"run/{name}")
    os.unlink("run/results.json")
    arguments = tiny(music, "run_dir=run", "ckpt_path=last")
    assert main(arguments) == 0
    assert "all steps of run are done: its encoder is written" in capsys.readouterr().err
    assert Path("run/encoder/model.safetensors").read_bytes() == weights
    assert results_of("run")["steps"] == 2 and Path("run/projector").is_dir()
    assert "raise trainer.max_steps=" in refused(capsys, arguments)


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(finished, music, capsys):
    shutil.copytree(finished, "run")
    for name in ("encoder", "projector", "checkpoints"):
        shutil.rmtree(f"run/{name}")
    os.unlink("run/results.json")
    assert main(tiny(music, "run_dir=run", "ckpt_path=last")) == 0
    assert "run has no checkpoint yet: the run starts from step 0" in capsys.readouterr().err
    weights = Path("run/encoder/model.safetensors").read_bytes()
    assert weights == Path(finished, "encoder/model.safetensors").read_bytes()


def test_damaged_and_foreign_checkpoints_are_refused(finished, music, capsys):
    shutil.copytree(finished, "run")
    checkpoint = Path("run/checkpoints/last.ckpt")
    more = tiny(music, "run_dir=run", "trainer.max_steps=5", f"ckpt_path={checkpoint.absolute()}")
    assert "another architecture" in refused(capsys, [*more, "encoder.embedding_size=64"])
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    assert "damaged" in refused(capsys, more)
    assert results_of("run")["steps"] == 2


@pytest.mark.parametrize("step", [0, 3])
def test_ctrl_c_says_how_to_resume_and_leaves_nothing_without_a_checkpoint(
    step, music, monkeypatch, capsys
):
    from ssl_audio.training.callbacks import ReadFailures

    def interrupt(self, trainer, *args):
        if trainer.global_step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(ReadFailures, "on_train_batch_start", interrupt)
    arguments = tiny(music, "run_dir=run", "trainer.max_steps=9", "trainer.checkpoint_every=2")
    assert main(arguments) == 130
    error = capsys.readouterr().err
    if step == 0:
        assert "no checkpoint yet" in error and left_behind() == []
    else:
        assert "resume with run_dir=run ckpt_path=last" in error
        assert not Path("run/results.json").exists()


def test_teacher_and_objective_must_fit(music, capsys):
    error = refused(capsys, tiny(music, recipe="distillation"))
    assert "teacher=null" in error and "needs a frozen teacher, such as teacher=musicnn" in error
    error = refused(capsys, tiny(music, "teacher=musicnn"))
    assert "teacher=musicnn" in error and "takes no teacher" in error
    assert left_behind() == []


# --- refusals ------------------------------------------------------------------------------------

AT_ONCE = {  # before torch is imported
    "trainer.max_steps=-3": "1 or more",
    "trainer.max_steps=1.5": "a whole number",
    "trainer.max_steps=0": "1 or more",
    "trainer.max_time=5min": "DD:HH:MM:SS",
    "trainer.precision=bf8": "bf16-mixed",
    "trainer.strategy=dpp": "Did you mean ddp?",
    "trainer.devices=0": "1 or more",
    "trainer.precison=auto": "Did you mean trainer.precision?",
    "optimizer.lr=-1": "above 0",
    "optimizer.lr=fast": "a number",
    "optimizer.lrr=1": "Did you mean lr?",
    "optimizer.weight_decay=-1": "0 or more",
    "objective.hiden=1": "Did you mean hidden?",
    "objective.momentum.shre=1": "Did you mean share?",
    "seed=-1": "0 or more",
    "learning_rate=0.1": "learning_rate.warmup",
    "data.batch_size=null": "a whole number",
    "data.root=s3://bucket/music": "a local path",
    "data=foldr": "Did you mean folder?",
    "frontend=relesed": "Did you mean released?",
    "online_probe=nne": "Did you mean none?",
    "schedule=papr": "Did you mean paper?",
    "ckpt_path=last": "run_dir=",
    "logger=[{project: x}]": "give name: or _target_:, one of them",
    "callbacks=[{_target_: lightning.pytorch.callbacks.EarlyStopping, monitr: x}]": "monitor?",
    "recipe=none": "barlow_twins, byol, clustering, contrastive, distillation, masked, vicreg",
    "recipe=missing.yaml": "no such file",
    "recipe=broken.yaml": "broken.yaml",
    "recipe=binary.yaml": "binary.yaml",
    "recipe=incomplete.yaml": "objective",
    "recipe=classless.yaml": "objective._target_",
}
RECIPES = {
    "broken.yaml": b"objective: [",
    "binary.yaml": b"\xff\xfe\x00",
    "incomplete.yaml": b"seed: 3\n",
    "classless.yaml": b"objective:\n  temperature: 1\n",
}


def test_wrong_settings_are_refused_before_torch_is_imported(tmp_path):
    for name, content in RECIPES.items():
        Path(name).write_bytes(content)
    code = (
        "import sys\nfrom ssl_audio.pretrain import main\n"
        "for word in sys.argv[1:]:\n"
        "    assert main(['recipe=byol', 'data.root=music', 'data=folder', word]) == 1\n"
        "    assert 'torch' not in sys.modules, word\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *AT_ONCE], capture_output=True, text=True,
                          env=environment(), timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    errors = done.stderr.splitlines()
    assert len(errors) == len(AT_ONCE)
    for error, (word, message) in zip(errors, AT_ONCE.items(), strict=True):
        assert error.startswith("error: ") and message in error, word
    assert left_behind() == sorted(RECIPES)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("trainer.accelerator=gpu", "trainer: "),
        ("optimizer._target_=torch.optim.Adamm", "optimizer: "),
        ("optimizer.betas=[2,3]", "optimizer: Invalid beta"),
        ("optimizer._target_=torch.optim.LBFGS", "optimizer: LBFGS doesn't support per-parameter"),
        ("optimizer._target_=torch.optim.SparseAdam", "optimizer: SparseAdam does not support"),
        (
            "optimizer._target_=torch.optim.Muon",
            "optimizer._target_=torch.optim.Muon takes matrices alone, and networks have kernels "
            "and biases too: optimizer._target_=timm.optim.Muon trains all of them",
        ),
        (
            "logger=[{_target_: torch.nn.Identity}]",
            "logger[0]._target_=torch.nn.Identity is not a lightning.pytorch.loggers.logger.Logger",
        ),
        ("callbacks=[{_target_: lightning.pytorch.callbacks.Nothing}]", "callbacks[0]: Error"),
        ("encoder.init_from=nowhere", "encoder.init_from=nowhere: no such model folder"),
        (
            "encoder.init_from=contrastive",
            "encoder.init_from=contrastive has another architecture than this run: "
            "set encoder.backbone=resnet, set encoder.embedding_size=1024",
        ),
        ("objective._target_=torch.nn.Identity", "not an ssl_audio.objectives.Objective"),
        ("objective.temperature=0", "temperature=0"),
        ("encoder.backbone=resnet_of_nobody", "resnet_of_nobody"),
        ("data.root=nowhere", "nowhere"),
        ("data.segment=30.0", "no track is long enough"),
        ("data.batch_size=1", "data.batch_size=1: "),
        ("data.batch_size=64", "data.batch_size"),
        ("run_dir=/proc/run", "run_dir=/proc/run"),
    ],
)
def test_a_refused_or_failed_start_leaves_nothing(word, message, music, capsys):
    import torch

    if word == "trainer.accelerator=gpu" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    arguments = tiny(music, "run_dir=run", "online_probe=none", "trainer.max_steps=4", word)
    assert message in refused(capsys, arguments)
    assert left_behind() == []


def test_a_run_starts_after_a_failed_start_in_the_same_folder(music, capsys):
    arguments = tiny(music, "run_dir=run", "trainer.max_steps=4")
    assert "the loss is" in refused(capsys, [*arguments, "optimizer.lr=1.0e+30"])
    assert main(arguments) == 0 and results_of("run")["steps"] == 4


def test_labels_without_a_table_are_refused(music, capsys):
    probe = f"online_probe.root={music}"
    assert "online_probe.train_tsv" in refused(capsys, tiny(music, probe))
    missing = ["online_probe.train_tsv=a.tsv", "online_probe.test_tsv=b.tsv"]
    assert "a.tsv" in refused(capsys, tiny(music, probe, *missing))
    assert left_behind() == []
