import pytest
import torch

from ssl_audio.probing.mixed_adam import MixedAdam


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_equal_to_torch(dtype, decay):
    generator = torch.Generator().manual_seed(0)
    layers = [
        (torch.randn(shape, generator=generator), torch.randn(*shape[:2], 1, generator=generator))
        for shape in [(3, 7, 50), (3, 4, 7)]
    ]
    theirs = [tensor.double().requires_grad_() for layer in layers for tensor in layer]
    optimizer = torch.optim.Adam(theirs, lr=0.01, weight_decay=decay)
    ours = MixedAdam(layers, dtype, 0.01, decay)
    buffers = [gradient for layer in ours.gradients for gradient in layer]
    for _ in range(20):
        for buffer, parameter in zip(buffers, theirs, strict=True):
            buffer.copy_(torch.randn(buffer.shape, generator=generator) * 1e-3)
            parameter.grad = buffer.double()
        ours.step()
        optimizer.step()
    for mine, other in zip([t for layer in layers for t in layer], theirs, strict=True):
        torch.testing.assert_close(mine.double(), other.detach(), rtol=1e-5, atol=1e-6)
    for product, (weight, _) in zip(ours.products, layers, strict=True):
        assert torch.equal(product, weight.to(dtype))
