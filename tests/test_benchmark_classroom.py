"""The class of kernels: what it starts, and what it measures."""

from pathlib import Path

import benchmark_classroom as classroom
import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="reads /proc"
)


def test_the_first_cells_load_the_images_and_train():
    cells = classroom.read_first_cells(10)
    assert len(cells) == 10
    assert any("load_images()" in cell for cell in cells)
    assert any("optimizer.step()" in cell for cell in cells)


def test_a_kernels_own_memory_is_counted_in_mib():
    student = classroom.Student(["a = 1"])
    try:
        before = student.measure()
        assert student.run("b = bytearray(b'x') * 2**26; print(a)") == "1\n"  # 64 MiB
        grown = {kind: size - before[kind] for kind, size in student.measure().items()}
        assert before["own"] < before["part"] < before["all"]
        assert all(63 < more < 70 for more in grown.values())
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            student.run("1 / 0")
    finally:
        student.close()
