import numpy as np
import pytest
import torch

from ssl_audio.probing.batches import Order, SegmentBatches, TrainingRows


def test_each_segment_of_a_track_is_drawn():
    offsets = np.array([0, 3, 4])
    x = np.arange(4, dtype=np.float32)[:, None] * 10
    train = TrainingRows(x, np.zeros((2, 1)), offsets[:-1], offsets[1:])
    rows = SegmentBatches(train, [np.arange(2)], 0, torch.float32, torch.device("cpu"))
    seen = set()
    for step in range(40):
        found, _ = rows._batch(np.array([[0, 1]]), step)
        values = (found[0, :, 0] * rows.deviation[0] + rows.mean[0]).round().int().tolist()
        assert values[1] == 30
        seen.add(values[0])
    assert seen == {0, 10, 20}


@pytest.mark.parametrize("rows", [5, 32, 33, 100])
def test_every_pass_has_every_row_once(rows):
    order = Order(np.arange(rows), 32, 0)
    per_pass = -(-rows // 32)
    batches = order.batches(0, 3 * per_pass)
    for number in range(3):
        drawn = batches[number * per_pass : (number + 1) * per_pass].ravel()
        assert sorted(drawn[drawn >= 0]) == list(range(rows))
    np.testing.assert_array_equal(order.batches(1, 2), batches[1:3])
