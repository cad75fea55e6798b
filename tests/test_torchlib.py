"""Half precision is taken where a CPU has instructions for it, and not where it has not."""

import pytest
import torch

from anymus.torchlib import check_device, half_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "is_half"),
    [
        ({"avx2": True, "avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"architecture": "some other"}, True),
    ],
)
def test_a_cpu_without_instructions_for_it_computes_in_single_precision(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object], *, is_half: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    with half_precision(CPU):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if is_half else torch.float32)


def test_an_older_torch_that_cannot_tell_computes_in_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    with half_precision(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


@pytest.mark.parametrize(("has_it", "lines"), [(True, 0), (False, 1)])
def test_a_training_in_half_says_where_it_is_slow(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, has_it: bool, lines: int
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": has_it}, raising=False)
    check_device(CPU, is_compiled=False, is_half=True)
    assert sum("train.precision=fp32" in line for line in caplog.messages) == lines
    check_device(CPU, is_compiled=False)
    assert len(caplog.messages) == lines
