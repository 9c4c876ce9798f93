"""What is written of a counter is read back, and nothing else is taken for one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.redis.counter_format import decode, encode
from shared.domain.records import CounterImage
from tests.counter_images import image, images, new_ref


@given(images)
def test_every_image_is_read_back_equal(made: CounterImage) -> None:
    """Nothing of an image is lost or changed on its way."""
    assert decode(made.ref, encode(made)) == made


@given(images, st.data())
def test_cut_off_value_is_not_a_counter(made: CounterImage, data: st.DataObject) -> None:
    """A value that ends too early is nothing."""
    value = encode(made)
    kept = data.draw(st.integers(min_value=0, max_value=len(value) - 1))
    assert decode(made.ref, value[:kept]) is None


@given(images, st.data())
def test_value_with_one_wrong_byte_is_not_a_counter(made: CounterImage, data: st.DataObject) -> None:
    """A value in which any one byte changed is nothing."""
    value = bytearray(encode(made))
    place = data.draw(st.integers(min_value=0, max_value=len(value) - 1))
    value[place] ^= data.draw(st.integers(min_value=1, max_value=255))
    assert decode(made.ref, bytes(value)) is None


@given(st.binary(max_size=200))
def test_foreign_bytes_are_not_a_counter(value: bytes) -> None:
    """Whatever else lies at a key is nothing, and reading it does not fail."""
    assert decode(new_ref(), value) is None


def test_value_of_a_member_with_one_accumulator_is_small() -> None:
    """Sixty bytes hold the counter of nearly every member there is."""
    assert len(encode(image(new_ref(), 5))) <= 60
