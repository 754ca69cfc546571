"""`relu-layers doctor`: the installation, a model on data, and what the machine grants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
from click.testing import Result

import relu_layers as rl
from relu_layers.cli import installation, machine


def words(result: Result) -> str:
    return " ".join(result.output.split())


def test_the_installation_is_told(call: Callable[..., Result]) -> None:
    result = call("doctor")
    assert result.exit_code == 0, result.output
    build = rl.build_info()
    for told in (build["version"], build["target"], *build["targets"], build["compiler"], np.__version__):
        assert told in words(result)
    assert "BLAS" in result.output
    assert "processors" in result.output
    assert "CPU quota" in words(result)
    assert max(map(len, result.output.splitlines())) <= 80


def test_a_model_is_examined(call: Callable[..., Result]) -> None:
    assert call("train", "xor", "--output", "out").exit_code == 0
    result = call("doctor", "out/model.npz", "xor")
    assert result.exit_code == 0, result.output
    for name in ("numbers", "inputs", "gradients", "chance", "overfitting", "dead units", "updates"):
        assert name in result.output
    assert "-ln(1/2) = 0.6931" in words(result)
    assert "Adam(0.003)" in words(result)
    assert "root mean squares" in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    slow = call("doctor", "out/model.npz", "xor", "--optimizer", "sgd", "--learning-rate", "1e-9")
    assert "a higher rate" in words(slow)


def test_a_failing_check_is_exit_code_1(call: Callable[..., Result]) -> None:
    assert call("train", "xor", "--output", "out").exit_code == 0
    model = rl.load("out/model.npz")
    model.params["0.weight"][0, 3] = np.nan
    model.save("broken.npz")
    result = call("doctor", "broken.npz", "xor")
    assert result.exit_code == 1
    assert "parameter 0.weight is nan at [0, 3]" in words(result)
    assert "-> " in result.output


def test_another_target_and_too_many_threads_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RELU_LAYERS_TARGET", raising=False)
    assert installation.target_check("avx512", ["avx512", "baseline"]).verdict == "ok"
    check = installation.target_check("baseline", ["avx512", "baseline"])
    assert check.verdict == "warn"
    assert "use_target('avx512')" in check.advice
    monkeypatch.setenv("RELU_LAYERS_TARGET", "baseline")
    assert (
        "RELU_LAYERS_TARGET is baseline" in installation.target_check("baseline", ["avx2", "baseline"]).advice
    )
    assert installation.thread_check(10_000).verdict == "warn"
    assert "RELU_LAYERS_NUM_THREADS" in installation.thread_check(10_000).advice


def test_kernels_that_compute_something_else_fail(
    call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert installation.kernel_check().verdict == "ok"
    monkeypatch.setattr(rl.ops, "relu_forward", lambda x, slope: x)
    assert installation.kernel_check().verdict == "fail"
    assert call("doctor").exit_code == 1


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"proc/self/cgroup": "0::/\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 1.5),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/x\n2:memory:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        (
            {
                "proc/self/cgroup": "4:cpuset:/x\n3:cpuacct,cpu:/a/b\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us": "900000\n",
                "sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3.0),
        (
            {
                "proc/self/cgroup": f"0::/{'d' * 5000}\nno line\n0::/a:b\n",
                "sys/fs/cgroup/a:b/cpu.max": "1 2\n",
            },
            0.5,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense\n"}, None),
        ({}, None),
    ],
)
def test_the_least_quota_of_all_control_groups_counts(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert machine.cpu_quota(str(tmp_path)) == quota


def test_threads_follow_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_processors", lambda: 8)
    for quota, threads in ((None, 8), (1.5, 2), (0.2, 1), (64.0, 8)):
        monkeypatch.setattr(machine, "cpu_quota", lambda quota=quota: quota)
        assert machine.threads_granted() == threads


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("model.npz",), 2, "doctor needs DATA beside MODEL"),
        (("nothing.npz", "xor"), 1, "no such model file"),
        (("nothing.npz", "xor", "--optimizer", "nothing"), 2, "--optimizer"),
        (("nothing.npz", "xor", "--learning-rate", "-1"), 2, "--learning-rate"),
        (("nothing.npz", "xor", "--rows", "0"), 2, "--rows"),
    ],
)
def test_problems_are_one_clear_line(
    call: Callable[..., Result], arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = call("doctor", *arguments)
    assert result.exit_code == code
    assert message in result.output
    assert "Traceback" not in result.output
