"""`hangtag sagemaker`, command by command, against moto's SageMaker over real HTTP."""

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from hangtag.cli import app as cli
from hangtag.dataset.config import PackConfig
from hangtag.dataset.pack import pack
from hangtag.errors import JobError
from hangtag.library.catalog import Catalog
from hangtag.library.vocabulary import Vocabulary
from hangtag.sagemaker.account import Account
from hangtag.sagemaker.inference import MAX_BODY
from hangtag.storage import s3
from tests.storage.conftest import Storage, put

DATASET = "s3://library/ic-multi-label"
ROLE = "arn:aws:iam::123456789012:role/hangtag"
PAID = ("--role", ROLE, "--instance-type", "ml.g5.xlarge", "--max-hours", "2")
IMAGE = ("--image", "123456789012.dkr.ecr.us-east-1.amazonaws.com/hangtag:1")


@pytest.fixture
def hangtag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a command: its exit code, its output, its errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hangtag", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="module")
def packed(library: Catalog, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packed")
    found = {}
    for flatten in ("none", "white"):
        found[flatten] = folder / flatten
        pack(library, found[flatten], PackConfig(size=32, min_count=3, flatten=flatten))
    return found


def send(dataset: Path) -> None:
    for path in dataset.rglob("*"):
        if path.is_file():
            put(f"{DATASET}/{path.relative_to(dataset).as_posix()}", path.read_bytes())


@pytest.fixture
def bucket(storage: Storage, packed: dict[str, Path]) -> Storage:
    send(packed["none"])
    return storage


def sagemaker() -> Any:
    return boto3.client("sagemaker")


def test_a_training_job(hangtag: Any, bucket: Storage) -> None:
    code, out, err = hangtag(
        "sagemaker", "train", DATASET, *PAID, *IMAGE, "--name", "first", "--wait",
        "--set", "epochs=5", "--set", "backbone=resnet10t",
    )  # fmt: skip
    assert code == 0, err
    assert "hangtag-first: 1 x ml.g5.xlarge for at most 2 h" in out
    made = sagemaker().describe_training_job(TrainingJobName="hangtag-first")
    assert made["HyperParameters"] == {"epochs": "5", "backbone": "resnet10t"}
    assert made["AlgorithmSpecification"]["TrainingImage"] == IMAGE[1]
    assert {one["ChannelName"] for one in made["InputDataConfig"]} == {
        "train", "validation", "tags", "dataset", "designs",
    }  # fmt: skip
    code, out, _ = hangtag("sagemaker", "status", "first", "--json")
    assert json.loads(out)[0]["status"] == "Completed"
    assert json.loads(out)[0]["model"].endswith("model.tar.gz")


def test_the_built_in_algorithm_gets_the_counts(
    hangtag: Any, storage: Storage, packed: dict[str, Path]
) -> None:
    send(packed["white"])
    built_in = ("sagemaker", "train", DATASET, *PAID, "--algorithm", "built-in", "--dry-run")
    code, out, err = hangtag(*built_in, "--set", "epochs=2", "--set", "mini_batch_size=8")
    assert code == 0, err
    (request,) = (call["create_training_job"] for call in json.loads(out))
    info = json.loads((packed["white"] / "dataset.json").read_text())
    assert request["HyperParameters"] == {
        "num_classes": str(info["tags"]), "multi_label": "1", "epochs": "2",
        "num_training_samples": str(info["designs"]["train"]), "mini_batch_size": "8",
    }  # fmt: skip
    assert "811284229777.dkr.ecr.us-east-1" in request["AlgorithmSpecification"]["TrainingImage"]
    assert "CheckpointConfig" not in request
    assert sagemaker().list_training_jobs()["TrainingJobSummaries"] == []  # a dry run
    for wrong, message in (
        ("num_classes=7", f"num_classes = 7, but {DATASET} has {info['tags']}"),
        ("mini_batch_size=60000", "training designs"),
        ("epoch=2", "unknown hyperparameters: epoch"),
    ):
        code, _, err = hangtag(*built_in, "--set", wrong)
        assert (code, message in err) == (1, True), err


def test_the_built_in_algorithm_gets_no_transparency(hangtag: Any, bucket: Storage) -> None:
    code, _, err = hangtag("sagemaker", "train", DATASET, *PAID, "--algorithm", "built-in")
    assert code == 1
    assert "--flatten white" in err


def test_records_of_image_classification_need_their_counts(
    hangtag: Any, storage: Storage, packed: dict[str, Path]
) -> None:
    for name in ("training/train.rec", "validation/val.rec"):
        put(f"{DATASET}/{name}", (packed["white"] / name).read_bytes())
    built_in = ("sagemaker", "train", DATASET, *PAID, "--algorithm", "built-in", "--dry-run")
    code, _, err = hangtag(*built_in)
    assert (code, "--set num_classes=NUMBER" in err) == (1, True)
    for wrong in ("num_classes=ten", "num_training_samples=155,000"):
        code, _, err = hangtag(*built_in, "--set", wrong, "--set", "num_classes=5")
        assert (code, err.count("\n")) == (1, 1), err
    counts = ("--set", "num_classes=5", "--set", "num_training_samples=100")
    code, out, err = hangtag(*built_in, *counts)
    assert code == 0, err
    assert '"num_classes": "5"' in out


def test_a_tuning_job(hangtag: Any, bucket: Storage, tmp_path: Path) -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "loss": ["asl", "bce"],
             "epochs": {"low": 2, "high": 6}}  # fmt: skip
    (tmp_path / "space.json").write_text(json.dumps(space))
    tune = ("sagemaker", "tune", DATASET, *PAID, *IMAGE, "--trials", "6", "--parallel", "2")
    code, out, err = hangtag(
        *tune, "--name", "t", "--space", tmp_path / "space.json", "--set", "backbone=resnet10t"
    )
    assert code == 0, err
    assert "hangtag-t: 6 jobs" in out
    made = sagemaker().describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="hangtag-t")
    config = made["HyperParameterTuningJobConfig"]
    assert config["HyperParameterTuningJobObjective"]["MetricName"] == "validation:macro_map"
    assert config["ParameterRanges"]["IntegerParameterRanges"][0] == {
        "Name": "epochs", "MinValue": "2", "MaxValue": "6", "ScalingType": "Linear",
    }  # fmt: skip
    assert config["ParameterRanges"]["ContinuousParameterRanges"][0]["ScalingType"] == "Logarithmic"
    code, out, err = hangtag(*tune, "--set", "freeze=true", "--dry-run")
    assert code == 0, err
    assert '"Name": "learning_rate"' in out
    assert '"Name": "rotate"' not in out  # a frozen backbone sees designs as they are
    code, _, err = hangtag(*tune, "--objective", "validation:loss")
    assert (code, "objective validation:loss" in err) == (1, True)
    # A mixture of names that the container would refuse, after it was paid for.
    (tmp_path / "space.json").write_text(json.dumps({"mini_batch_size": {"low": 8, "high": 16}}))
    code, _, err = hangtag(*tune, "--space", tmp_path / "space.json", "--set", "backbone=resnet10t")
    assert (code, "unknown hyperparameters: backbone" in err) == (1, True), err


DEPLOY = ("--role", ROLE, "--instance-type", "ml.m5.large", *IMAGE)


def test_a_local_model_becomes_an_endpoint_and_goes_again(
    hangtag: Any, bucket: Storage, model: Path
) -> None:
    deploy = ("sagemaker", "deploy", model, *DEPLOY, "--name", "shop", "--wait")
    code, _, err = hangtag(*deploy)
    assert (code, "--upload s3://BUCKET/PREFIX" in err) == (1, True)
    upload = ("--upload", "s3://library/models")
    code, out, err = hangtag(*deploy, *upload, "--dry-run")
    assert [list(call) for call in json.loads(out)] == [
        ["create_model"], ["create_endpoint_config"], ["create_endpoint"],
    ]  # fmt: skip
    assert s3.head("s3://library/models/hangtag-shop/model.tar.gz") is None
    code, out, err = hangtag(*deploy, *upload)
    assert code == 0, err
    archive = s3.read("s3://library/models/hangtag-shop/model.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert {"README.md", "config.json", "tags.json", "model.onnx"} == set(tar.getnames())
    _, out, _ = hangtag("sagemaker", "status")
    assert [line.split()[2] for line in out.splitlines()] == ["endpoint", "endpoint", "model"]
    assert "costs until" not in out
    code, out, err = hangtag("sagemaker", "delete", "shop")
    assert (code, out.count("is removed")) == (0, 3), err
    _, out, _ = hangtag("sagemaker", "status")
    assert out == "nothing that hangtag created in us-east-1\n"
    code, _, err = hangtag("sagemaker", "delete", "shop")
    assert (code, "hangtag-shop: no such job, model or endpoint" in err) == (1, True)


def test_only_what_hangtag_made_is_listed_and_removed(
    hangtag: Any, bucket: Storage, model: Path
) -> None:
    container = {"Image": IMAGE[1], "ModelDataUrl": "s3://library/a.tar.gz"}
    for name in ("theirs", "their-hangtag-copy"):
        sagemaker().create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    hangtag("sagemaker", "deploy", model, *DEPLOY, "--name", "a", "--upload", "s3://library/m")
    hangtag("sagemaker", "deploy", model, *DEPLOY, "--name", "b", "--upload", "s3://library/m")
    code, out, err = hangtag("sagemaker", "delete", "nothing", "a")  # the second all the same
    assert (code, out.count("is removed")) == (1, 3)
    assert "hangtag-nothing: no such job, model or endpoint" in err
    hangtag("sagemaker", "deploy", model, *DEPLOY, "--name", "a", "--upload", "s3://library/m")
    code, out, err = hangtag("sagemaker", "delete", "--all")
    assert (code, out.count("is removed")) == (0, 6), err
    assert {one["ModelName"] for one in sagemaker().list_models()["Models"]} == {
        "theirs", "their-hangtag-copy",
    }  # fmt: skip


def test_records_in_several_files_are_for_our_container(
    hangtag: Any, storage: Storage, packed: dict[str, Path]
) -> None:
    """All of them; the built-in algorithm reads one file."""
    for name in ("tags.json", "dataset.json", "validation/val.rec"):
        put(f"{DATASET}/{name}", (packed["white"] / name).read_bytes())
    put(f"{DATASET}/training/train-00000-of-00002.rec", b"one")
    train = ("sagemaker", "train", DATASET, *PAID, "--dry-run")
    code, _, err = hangtag(*train, *IMAGE)
    assert (code, "1 of 2 shards are missing: 1/2; copy them to" in err) == (1, True)
    put(f"{DATASET}/training/train-00001-of-00002.rec", b"two")
    code, _, err = hangtag(*train, *IMAGE)
    assert code == 0, err
    code, _, err = hangtag(*train, "--algorithm", "built-in")
    assert (code, "built-in algorithm reads one" in " ".join(err.split())) == (1, True)


def test_a_job_becomes_an_endpoint_and_a_transform(hangtag: Any, bucket: Storage) -> None:
    hangtag("sagemaker", "train", DATASET, *PAID, *IMAGE, "--name", "first")
    code, _, err = hangtag("sagemaker", "deploy", "first", *DEPLOY, "--name", "shop")
    assert code == 0, err
    artifact = sagemaker().describe_model(ModelName="hangtag-shop")["PrimaryContainer"]
    trained = sagemaker().describe_training_job(TrainingJobName="hangtag-first")
    assert artifact["ModelDataUrl"] == trained["ModelArtifacts"]["S3ModelArtifacts"]
    transform = ("sagemaker", "transform", "hangtag-first", "s3://library/designs")
    code, _, err = hangtag(*transform, "s3://library/answers", *DEPLOY)
    assert (code, "s3://library/designs holds no designs" in err) == (1, True)
    put("s3://library/designs/a.png", b"...")
    put("s3://library/designs/tags.csv", b"...")
    code, _, err = hangtag(*transform, "s3://library/answers", *DEPLOY)
    assert (code, "1 of 2 files are not designs" in err) == (1, True)
    s3.delete("s3://library/designs/tags.csv")
    code, _, err = hangtag(
        "sagemaker", "transform", "hangtag-first", "s3://library/designs", "s3://library/answers",
        *DEPLOY, "--name", "all", "--instances", "2",
    )  # fmt: skip
    assert code == 0, err
    made = sagemaker().describe_transform_job(TransformJobName="hangtag-all")
    assert made["TransformInput"]["ContentType"] == "application/x-image"
    source = made["TransformInput"]["DataSource"]["S3DataSource"]
    assert source["S3Uri"] == "s3://library/designs/"  # not designs-old/ too
    code, _, err = hangtag(*transform, "s3://library/designs/answers", *DEPLOY)
    assert (code, "would take the results for designs" in err) == (1, True)
    assert made["TransformResources"]["InstanceCount"] == 2


def test_what_is_not_there_is_known_by_the_services_own_words(storage: Storage) -> None:
    """As SageMaker itself says it: moto has other words."""
    account = Account()
    with Stubber(account._sagemaker) as stub:
        for operation, key, code, words in (
            ("describe_hyper_parameter_tuning_job", "HyperParameterTuningJobName",
             "ResourceNotFound", "Amazon SageMaker can't find a tuning job called hangtag-x."),
            ("describe_training_job", "TrainingJobName", "ValidationException",
             "Requested resource not found."),
            ("describe_endpoint", "EndpointName", "ValidationException",
             'Could not find endpoint "arn:aws:sagemaker:us-east-1:1:endpoint/hangtag-x".'),
        ):  # fmt: skip
            stub.add_client_error(operation, code, words)
            with pytest.raises(LookupError):
                account.call(operation, {key: "hangtag-x"})
        stub.add_client_error("describe_endpoint", "AccessDeniedException", "User is not allowed")
        with pytest.raises(JobError, match="refused describe_endpoint: User is not allowed"):
            account.call("describe_endpoint", {"EndpointName": "hangtag-x"})


def test_a_long_name_can_be_removed(hangtag: Any, bucket: Storage, model: Path) -> None:
    """Longer than a tuning job's may be, which SageMaker then must not be asked for."""
    name = "a-name-of-more-than-thirty-two-letters-in-all"
    hangtag("sagemaker", "deploy", model, *DEPLOY, "--name", name, "--upload", "s3://library/m")
    code, out, err = hangtag("sagemaker", "delete", name)
    assert (code, out.count("is removed")) == (0, 3), err


def test_a_job_goes_on_with_an_earlier_ones_checkpoints(hangtag: Any, bucket: Storage) -> None:
    code, out, err = hangtag(
        "sagemaker", "train", DATASET, *PAID, *IMAGE, "--dry-run", "--resume", "a"
    )
    assert code == 0, err
    request = json.loads(out)[0]["create_training_job"]
    assert request["CheckpointConfig"]["S3Uri"] == f"{DATASET}/output/hangtag-a/checkpoints"


def test_what_was_made_before_a_refusal_is_reported(
    hangtag: Any, bucket: Storage, model: Path
) -> None:
    deploy = ("sagemaker", "deploy", model, "--role", ROLE, *IMAGE, "--name", "shop")
    code, _, err = hangtag(*deploy, "--upload", "s3://library/m", "--instance-type", "ml.wrong")
    assert code == 1
    assert "refused create_endpoint_config" in err
    assert "done before it: create_model" in err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("train", "/local", *PAID, *IMAGE), "a job reads its dataset from a bucket"),
        (("train", "s3://library/empty", *PAID, *IMAGE), "holds no training/train.rec"),
        (("train", "s3://nowhere/d", *PAID, *IMAGE), "no such bucket"),
        (("train", DATASET, *PAID), "docker build --target train"),
        (("train", DATASET, *PAID, *IMAGE, "--algorithm", "built-in"), "--image is for hangtag's"),
        (("train", DATASET, *PAID, *IMAGE, "--set", "epochs"), "write NAME=VALUE"),
        (
            ("train", DATASET, *PAID, *IMAGE, "--set", "freeze=true", "--instances", "2"),
            "trains on one machine",
        ),
        (("train", DATASET, *PAID, *IMAGE, "--set", "epochs=many"), "epochs = 'many'"),
        (("train", DATASET, *PAID, *IMAGE, "--name", "a b"), "cannot be a name"),
        (("delete", "a b"), "cannot be a name"),
        (("train", DATASET, "--role", "me", *PAID[2:], *IMAGE), "RoleArn"),
        (("deploy", "nothing", *DEPLOY), "no training or tuning job"),
        (("deploy", "s3://library/none.tar.gz", *DEPLOY), "no such object"),
        (("transform", "a", "designs", "s3://library/o", *DEPLOY), "reads from and writes to s3"),
        (("status", "nothing"), "hangtag-nothing: no such job, model or endpoint"),
        (("delete",), "or give --all"),
    ],
)
def test_mistakes(hangtag: Any, bucket: Storage, command: tuple[str, ...], message: str) -> None:
    code, out, err = hangtag("sagemaker", *command)
    assert (code, out) == (1, "")
    assert message in err
    assert err.startswith("hangtag: ")
    assert err.count("\n") == 1


def test_wrong_usage_exits_with_2(hangtag: Any, bucket: Storage) -> None:
    for command, message in (
        (("train", DATASET, *PAID[:4], "--max-hours", "inf", *IMAGE), "write a number"),
        (("invoke", "nothing"), "DESIGNS"),
    ):
        code, out, err = hangtag("sagemaker", *command)
        assert code == 2
        assert message in out + err


def test_what_costs_is_never_chosen_for_you(hangtag: Any, bucket: Storage) -> None:
    for left_out in ("--instance-type", "--max-hours", "--role"):
        at = PAID.index(left_out)
        code, out, err = hangtag("sagemaker", "train", DATASET, *PAID[:at], *PAID[at + 2 :], *IMAGE)
        assert code == 2
        assert left_out in out + err


def test_a_profile_or_region_that_is_none(
    hangtag: Any, bucket: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "not a region")
    code, _, err = hangtag("sagemaker", "status")
    assert (code, err.count("\n")) == (1, 1), err
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    code, _, err = hangtag("sagemaker", "status")
    assert (code, "nobody" in err, err.count("\n")) == (1, True, 1), err


def test_no_region(hangtag: Any, bucket: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    code, _, err = hangtag("sagemaker", "status")
    assert (code, "set AWS_DEFAULT_REGION" in err) == (1, True)


def test_an_endpoint_is_asked(
    hangtag: Any, endpoint: list[dict[str, str]], library: Catalog, model: Path, tmp_path: Path
) -> None:
    designs = [library.location(design) for design in library.designs[:2]]
    code, out, err = hangtag(
        "sagemaker", "invoke", "shop", *designs, "--tags-file", model / "tags.json"
    )
    assert code == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["image"] for row in rows] == [str(design) for design in designs]
    assert all(set(row["scores"]) == {"flower", "heart", "word"} for row in rows)
    code, out, _ = hangtag("sagemaker", "invoke", "shop", designs[0])
    assert sorted(json.loads(out)["scores"], reverse=True) == pytest.approx(
        list(rows[0]["scores"].values()), abs=1e-4
    )
    assert endpoint[0]["path"] == "/endpoints/hangtag-shop/invocations"
    assert endpoint[0]["Content-Type"] == "application/x-image"
    assert "AWS4-HMAC-SHA256" in endpoint[0]["Authorization"]
    (tmp_path / "two.txt").write_text("a\nb\n")
    code, _, err = hangtag(
        "sagemaker", "invoke", "shop", designs[0], "--tags-file", tmp_path / "two.txt"
    )
    assert (code, "has 2 tags" in err) == (1, True)
    (tmp_path / "large.png").write_bytes(bytes(MAX_BODY + 1))
    code, _, err = hangtag("sagemaker", "invoke", "shop", tmp_path / "large.png")
    assert (code, "large.png: 6.0 MiB; an endpoint takes 6" in err) == (1, True)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    code, _, err = hangtag("sagemaker", "invoke", "shop", tmp_path / "broken.png")
    assert (code, "refused invoke_endpoint" in err) == (1, True), err
    assert Vocabulary.read(model / "tags.json").names == ("flower", "heart", "word")
