"""What one peer may send within a second."""

from server.net.meter import Meter
from server.net.options import Options

OPTIONS = Options(bytes_per_s=100, frames_per_s=10, control_frames_per_s=3)


def test_bytes_are_counted_over_one_second() -> None:
    """The hundred-and-first byte of a second is one too many; the next second begins anew."""
    meter = Meter(OPTIONS)
    assert meter.read(60, 0.0)
    assert meter.read(40, 0.5)
    assert not meter.read(1, 0.9)
    assert meter.read(100, 1.0)


def test_frames_are_counted_whatever_they_carry() -> None:
    """A frame without payload costs as much as another."""
    meter = Meter(OPTIONS)
    meter.read(60, 0.0)
    assert all(meter.frame(control=False) for _ in range(10))
    assert not meter.frame(control=False)
    meter.read(6, 1.0)
    assert meter.frame(control=False)


def test_control_frames_have_a_share_of_their_own() -> None:
    """Few pings are useful; messages remain allowed beside them."""
    meter = Meter(OPTIONS)
    meter.read(60, 0.0)
    assert all(meter.frame(control=True) for _ in range(3))
    assert meter.frame(control=False)
    assert not meter.frame(control=True)
