#!/usr/bin/env bash
# What: torch 2.13.0, a Hessian-vector product through an autograd.Function whose backward is marked
#   @once_differentiable, beside other terms.
# Guess: The second backward pass raises, which is what the mark is for.
# Seen: It raises only where the gradient that comes in requires a gradient itself. At the end of a graph it does
#   not, so the second derivative of the function is left out without a word: the Hessian of sum(x² + x³) comes
#   out as 6x, not 2 + 6x; of sum(x²) alone torch.autograd.functional.hvp gives zeros.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet torch==2.13.0 numpy==2.4.6
fi

cd "$folder"
"$python" - <<'PY'
import torch
from torch.autograd.function import once_differentiable


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


print("torch", torch.__version__)
x = torch.tensor([1.0, 2.0], requires_grad=True)
(gradient,) = torch.autograd.grad((Square.apply(x) + x**3).sum(), x, create_graph=True)
(product,) = torch.autograd.grad(gradient.sum(), x)
print("H·1 of sum(x² + x³):", product.tolist(), "where 2 + 6x is", (2 + 6 * x).tolist())
_, alone = torch.autograd.functional.hvp(
    lambda x: Square.apply(x).sum(), x.detach(), torch.ones(2)
)
print("H·1 of sum(x²):", alone.tolist())


if not (product.tolist() == [6.0, 12.0] and alone.tolist() == [0.0, 0.0]):
    raise SystemExit("The behaviour has changed.")
PY
