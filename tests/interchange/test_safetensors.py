"""What begins as a file of another format, and what only seems to."""

from pathlib import Path

import numpy as np
import pytest

from cellar.errors import ImportRefused
from cellar.interchange.safetensors import refuse_other_formats
from cellar.wire.arrays.weights import dump, with_metadata

CORPUS = Path(__file__).parent / "fuzz" / "corpus"


def test_a_safetensors_file_is_no_pickle_whatever_the_length_of_its_header() -> None:
    firsts = set()
    for length in range(1, 300):
        data = b"".join(with_metadata(dump({"w": np.zeros(1, np.float32)}), {"text": "x" * length}))
        firsts.add(data[0])
        refuse_other_formats(data[:64])
    assert 0x80 in firsts


@pytest.mark.parametrize("head", [b"\x80\x04\x95", b"\x80\x02}q\x00.", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"])
def test_others_are_refused(head: bytes) -> None:
    with pytest.raises(ImportRefused):
        refuse_other_formats(head)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.onnx")), ids=lambda path: path.name)
def test_models_of_onnx_are_known(path: Path) -> None:
    with pytest.raises(ImportRefused, match="ONNX") as caught:
        refuse_other_formats(path.read_bytes()[:64])
    assert "cellar import" in (caught.value.remedy or "")
