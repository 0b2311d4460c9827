"""K-FAC and EKFAC against dense matrices from the definitions, and where they must equal the exact blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.curvature.nets import Attention, Recurrent, Setting, Tied, cuts, settings
from tests.curvature.test_products import near
from thalweg.curvature import KroneckerMatrix, ekfac, fisher, ggn, kfac
from thalweg.curvature.kronecker.blocks import KroneckerPair, inverses_of
from thalweg.errors import DataError, EngineError, TaskError

# some hundred sums of numbers of size 1 in float64, twice through roots of eigenvalues
BOUND = 1e-10


def linear() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5), nn.Linear(5, 3)).double()


def curved() -> nn.Sequential:
    """Linear layers, a norm, and a nonlinearity in place."""
    torch.manual_seed(2)
    parts = nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 6), nn.ELU(inplace=True), nn.Linear(6, 3)
    return nn.Sequential(*parts).double()


def rows(count: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(count, *shape, generator=generator, dtype=torch.float64)


def one(name: str) -> Setting:
    """Return a loss with the targets of one row."""
    given = settings(3)[name.removeprefix("summed ")]
    if name.startswith("summed "):
        given.loss.reduction = "sum"
    return replace(given, targets=given.targets[:1])


def same_blocks(k: KroneckerMatrix, exact: Any, bound: float = BOUND) -> None:
    """Assert that every layer's block is the exact one."""
    for layer in k.layers:
        expected = exact.block(layer).dense()
        assert float(expected.abs().max()) > 1e-4
        near(k.block(layer).dense(), expected, bound)


@pytest.mark.parametrize("made", [kfac, ekfac])
@pytest.mark.parametrize("name", [*settings(), "summed ignoring"])
def test_of_one_row_a_block_is_the_exact_one(name: str, made: Any) -> None:
    given, model, x = one(name), curved(), rows(1, 3)
    data = (x, given.targets)
    same_blocks(made(model, given.loss, data), ggn(model, given.loss, data))


@pytest.mark.parametrize("name", ["mse", "weights of rows", "half_mse of a sum"])
def test_of_a_deep_linear_net_with_a_squared_error_a_block_is_the_exact_one(name: str) -> None:
    model, x, y = linear(), rows(7, 3), rows(7, 3)
    weighted = (torch.linspace(0, 2, 7, dtype=torch.float64),) if name.startswith("weights") else ()
    loss = nn.MSELoss(reduction="sum") if name.endswith("sum") else "mse"
    same_blocks(kfac(model, loss, (x, y, *weighted)), ggn(model, loss, (x, y, *weighted)))


@pytest.mark.parametrize("made", [kfac, ekfac])
@pytest.mark.parametrize("name", settings())
def test_it_does_not_depend_on_how_the_rows_are_cut(name: str, made: Any) -> None:
    given, model, x = settings()[name], curved(), rows(6, 3)
    whole = made(model, given.loss, (x, given.targets)).dense()
    assert float(whole.abs().max()) > 1e-3
    for sizes in ((1, 3, 2), (5, 1)):
        near(made(model, given.loss, cuts(x, given.targets, *sizes)).dense(), whole, BOUND)


def test_factors_are_those_of_the_definition() -> None:
    """A loop over rows and classes, with weights of classes and ignored targets."""
    given, model, x = settings()["ignoring"], curved(), rows(6, 3)
    weights = torch.tensor([1.0, 4.0, 0.25], dtype=torch.float64)
    kept = [i for i, y in enumerate(given.targets.tolist()) if y != -100]
    c = {i: float(weights[given.targets[i]]) for i in kept}
    layer: Any = model[2]
    a = torch.zeros(5, 5, dtype=torch.float64)
    b = torch.zeros(6, 6, dtype=torch.float64)
    for i in kept:
        before = model[1](model[0](x[i : i + 1])).detach()
        h = layer(before).detach().requires_grad_()
        outputs = model[4](functional.elu(h))[0]
        ends = torch.cat([before[0], torch.ones(1, dtype=torch.float64)])
        a += c[i] * torch.outer(ends, ends) / sum(c.values())
        for y, p in enumerate(outputs.softmax(0).tolist()):
            (g,) = torch.autograd.grad(-outputs.log_softmax(0)[y], h, retain_graph=True)
            b += c[i] * p * torch.outer(g[0], g[0]) / sum(c.values())
    block = kfac(model, given.loss, (x, given.targets)).block("2").dense()
    expected = torch.kron(b, a)
    # the vector has the weight by rows, then the bias
    places = [o * 5 + i for o in range(6) for i in range(4)] + [o * 5 + 4 for o in range(6)]
    near(block, expected[places][:, places], BOUND)


def test_the_eigenvalue_corrected_matrix_has_the_trace_of_the_exact_one_and_is_nearer() -> None:
    given, model, x = settings()["cross_entropy"], curved(), rows(6, 3)
    data = (x, given.targets)
    exact = ggn(model, given.loss, data)
    k, e = kfac(model, given.loss, data), ekfac(model, given.loss, data)
    for layer in ("0", "2", "4"):
        whole, of_k, of_e = (m.block(layer).dense() for m in (exact, k, e))
        near(of_e.trace(), whole.trace(), BOUND)
        assert (whole - of_e).norm() < 0.999 * (whole - of_k).norm()


def test_norms_have_their_exact_block() -> None:
    given, model, x = settings()["cross_entropy"], curved(), rows(6, 3)
    data = (x, given.targets)
    for made in (kfac, ekfac):
        near(
            made(model, given.loss, data).block("1").dense(),
            ggn(model, given.loss, data).block("1").dense(),
            BOUND,
        )


@pytest.mark.parametrize("norm", ["batch", "group", "rms"])
@pytest.mark.parametrize("training", [True, False])
def test_so_have_those_of_pictures(norm: str, training: bool) -> None:
    torch.manual_seed(0)
    made: dict[str, nn.Module] = {"batch": nn.BatchNorm2d(2), "group": nn.GroupNorm(1, 2)}
    made["rms"] = nn.RMSNorm([2, 3, 3])
    # after the norm every row by itself, so that its block is that of the rows
    end = nn.Flatten(), nn.Linear(18, 3)
    model = nn.Sequential(nn.Conv2d(1, 2, 2), made[norm], nn.Tanh(), *end).double()
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    x, y = rows(5, 1, 4, 4), torch.arange(5) % 3
    k = kfac(model, "cross_entropy", (x, y), training=training)
    near(
        k.block("1").dense(),
        ggn(model, "cross_entropy", (x, y), training=training).block("1").dense(),
        BOUND,
    )


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # PyTorch's own copy
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, (2, 3), stride=(1, 2), padding=(1, 0), dilation=(2, 1)),
        nn.Conv2d(2, 3, 3, padding="same", padding_mode="circular", bias=False),
        nn.Conv1d(2, 3, 2, padding="same", dilation=3),
        nn.Conv1d(2, 3, 3, padding="valid"),
        nn.Linear(5, 3),
        nn.Embedding(7, 3, padding_idx=2),
        nn.Embedding(7, 3),
    ],
    ids=str,
)
def test_inputs_and_gradients_make_a_layers_gradient(layer: Any) -> None:
    """Σ_s g_s·a_sᵀ of each row is what autograd gives."""
    from thalweg.curvature.kronecker.layers import KroneckerLayer

    layer = layer.double()
    shape = {"Conv2d": (4, 2, 5, 7), "Conv1d": (4, 2, 9), "Linear": (4, 6, 5), "Embedding": (4, 5)}
    kind = type(layer).__name__
    x = rows(1, *shape[kind])[0]
    x = (x.abs() * 100).long() % 7 if kind == "Embedding" else x
    found = layer(x)
    g = rows(1, *found.shape)[0]
    known = KroneckerLayer("", layer)
    a = known.inputs(x)
    sent = known.gradients(g, a)
    if kind == "Embedding":
        a = functional.one_hot(a, 7).double()
    (expected,) = torch.autograd.grad(found, layer.weight, g)
    made = torch.einsum("nso,nsi->oi", sent, a)
    near(made, known.places(expected), BOUND)


class Shared(nn.Module):
    """A layer that is used for each step of a sequence, called step by step or at once."""

    def __init__(self, by_step: bool, mean: bool) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.by_step, self.mean = by_step, mean
        self.layer = nn.Linear(2, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        found = (
            torch.stack([self.layer(x[:, s]) for s in range(x.shape[1])], 1)
            if self.by_step
            else self.layer(x)
        )
        return found.mean(1) if self.mean else found.mT


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_several_calls_are_more_positions(sharing: Any) -> None:
    x, y = rows(4, 3, 2), torch.arange(4) % 3
    one, other = (
        kfac(Shared(by_step, True), "cross_entropy", (x, y), sharing=sharing).dense()
        for by_step in (True, False)
    )
    near(one, other, BOUND)


def test_sharing_is_exact_where_its_definition_says_so() -> None:
    """Of one row "reduce" with the mean over positions; with "expand" outputs at each position, all with
    the same Hessian of the loss."""
    x = rows(1, 3, 2)
    reduced = Shared(False, True)
    data: Any = (x, torch.tensor([1]))
    same_blocks(
        kfac(reduced, "cross_entropy", data, sharing="reduce"), ggn(reduced, "cross_entropy", data)
    )
    expanded, data = Shared(False, False), (rows(4, 3, 2), rows(4, 3, 3))
    same_blocks(kfac(expanded, "mse", data), ggn(expanded, "mse", data))


def test_positions_that_are_ignored_do_not_count() -> None:
    model, x = Shared(False, False), rows(4, 3, 2)
    y = (torch.arange(12) % 3).reshape(4, 3)
    y[0, 1:], y[2] = -100, -100
    kept = y.reshape(-1) != -100
    flat = nn.Sequential(nn.Linear(2, 3)).double()
    flat[0].load_state_dict(model.layer.state_dict())
    alone = kfac(flat, "cross_entropy", (x.reshape(12, 2)[kept], y.reshape(-1)[kept]))
    near(kfac(model, "cross_entropy", (x, y)).dense(), alone.dense(), BOUND)


def test_the_scale_does_not_depend_on_the_size_of_batch_or_picture() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(5)
            self.conv, self.out = nn.Conv2d(1, 2, 2, stride=2).double(), nn.Linear(2, 3).double()

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.out(torch.tanh(self.conv(x)).mean((2, 3)))
            return found

    model, x, y = Mean(), rows(3, 1, 4, 4), torch.arange(3)
    small = kfac(model, "cross_entropy", (x, y), sharing="reduce").dense()
    large = kfac(model, "cross_entropy", (x.repeat(2, 1, 3, 2), y.repeat(2)), sharing="reduce")
    near(large.dense(), small, BOUND)
    pixels = nn.Sequential(nn.Conv2d(1, 4, 2, stride=2), nn.Tanh(), nn.Conv2d(4, 3, 1)).double()
    y = (torch.arange(12) % 3).reshape(3, 2, 2)
    small = kfac(pixels, "cross_entropy", (x, y)).dense()
    large = kfac(pixels, "cross_entropy", (x.repeat(2, 1, 3, 2), y.repeat(2, 3, 2)))
    near(large.dense(), small, BOUND)


def test_an_embedding_has_its_words_counts_and_no_padding() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(6)
            self.words = nn.Embedding(6, 3, padding_idx=0).double()

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.words(x).mT
            return found

    model = Words()
    x = torch.tensor([[1, 2, 2], [5, 1, 0]])
    y = rows(2, 3, 3)
    k = kfac(model, "mse", (x, y))
    exact = ggn(model, "mse", (x, y)).dense()
    # five words of six places count: the average over these, where padding has no gradient
    near(k.dense(), exact, BOUND)
    near(ekfac(model, "mse", (x, y)).dense().trace(), exact.trace(), BOUND)


@pytest.mark.parametrize("name", ["cross_entropy", "ignoring", "mse", "bce"])
def test_sampled_labels_have_the_exact_matrix_as_their_mean(name: str) -> None:
    given, model, x = settings()[name], curved(), rows(6, 3)
    exact = kfac(model, given.loss, (x, given.targets)).dense()
    # the same rows again and again have the same matrix, and each its own labels
    times = 5000
    targets = given.targets.repeat(times, *[1] * (given.targets.ndim - 1))
    many = kfac(model, given.loss, (x.repeat(times, 1), targets), kind="sampled").dense()
    # a few standard errors of a mean of so many
    assert float((many - exact).abs().max()) < 3 / times**0.5 * float(exact.abs().max())


def test_the_seed_chooses_the_labels_and_draws_are_averaged() -> None:
    given, model, x = settings()["cross_entropy"], curved(), rows(6, 3)
    data = (x, given.targets)
    first, again, other = (
        kfac(model, given.loss, data, kind="sampled", seed=seed).dense() for seed in (0, 0, 1)
    )
    near(first, again, 0.0)
    assert float((first - other).abs().max()) > 1e-3
    exact = kfac(model, given.loss, data).dense()
    many = kfac(model, given.loss, data, kind="sampled", draws=100).dense()
    assert float((many - exact).abs().max()) < float((first - exact).abs().max()) / 2


@pytest.mark.parametrize("name", ["cross_entropy", "mse", "bce"])
def test_the_empirical_one_is_that_of_the_targets(name: str) -> None:
    given, model, x = one(name), curved(), rows(1, 3)
    data = (x, given.targets)
    same_blocks(
        kfac(model, given.loss, data, kind="empirical"),
        fisher(model, given.loss, data, kind="empirical"),
    )


@pytest.mark.parametrize("made", [kfac, ekfac])
@pytest.mark.parametrize("factored", [True, False])
def test_the_inverse_is_that_of_the_damped_matrix(factored: bool, made: Any) -> None:
    given, model, x = settings()["cross_entropy"], curved(), rows(6, 3)
    k = made(model, given.loss, (x, given.targets))
    damped = k.damped(0.01, factored=factored)
    inverse = k.inverse(0.01, factored=factored)
    n = k.shape[0]
    near(damped.dense() @ inverse.dense(), torch.eye(n, dtype=torch.float64), 1e-8)
    if not factored:
        near(damped.dense(), k.dense() + 0.01 * torch.eye(n, dtype=torch.float64), BOUND)
    b = rows(1, n)[0]
    solved = damped.solve(b)
    assert solved.converged
    near(damped @ solved.x, b, 1e-8)


def test_factored_damping_is_that_of_its_definition() -> None:
    torch.manual_seed(0)
    a, b = (x @ x.mT for x in (torch.randn(3, 3).double(), 5 * torch.randn(4, 4).double()))
    found = KroneckerPair(a, b).damped(0.09, factored=True)
    assert isinstance(found, KroneckerPair)
    pi = float(((a.trace() / 3) / (b.trace() / 4)) ** 0.5)
    near(found.a, a + 0.3 * pi * torch.eye(3).double())
    near(found.b, b + 0.3 / pi * torch.eye(4).double())


def test_a_matrix_that_rounding_made_indefinite_is_inverted_by_its_eigenvalues() -> None:
    q = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)).double())[0]
    good = q @ torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0]).double()) @ q.mT
    bad = q @ torch.diag(torch.tensor([1.0, 2.0, 3.0, -1e-18]).double()) @ q.mT
    bad = (bad + bad.mT) / 2 - 1e-15 * torch.eye(4).double()
    found = inverses_of([good, bad])
    near(found[0] @ good, torch.eye(4).double(), BOUND)
    assert bool((torch.linalg.eigvalsh(found[1]) > 0).all())
    with pytest.raises(EngineError, match="not finite"):
        inverses_of([good * float("nan")])
    with pytest.raises(TaskError, match=r"singular.*damped"):
        inverses_of([torch.zeros(2, 2)])


def test_a_bias_apart_has_its_own_block() -> None:
    given, model, x = one("cross_entropy"), linear(), rows(1, 3)
    data = (x, given.targets)
    k, exact = kfac(model, given.loss, data, bias="apart"), ggn(model, given.loss, data).dense()
    assert k.names[:2] == (("0.weight",), ("0.bias",))
    found = k.dense()
    near(found[:12, :12], exact[:12, :12], BOUND)
    near(found[12:16, 12:16], exact[12:16, 12:16], BOUND)
    assert float(found[:12, 12:].abs().max()) == 0
    model[0].weight.requires_grad_(False)
    near(kfac(model, given.loss, data).dense()[:4, :4], exact[12:16, 12:16], BOUND)


def test_nothing_of_the_model_is_changed() -> None:
    from tests.exact import same

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)
    ).double()
    model.train()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    state = torch.get_rng_state()
    ekfac(model, "cross_entropy", (rows(6, 3), torch.arange(6) % 3), training=False)
    same(model.state_dict(), before, because="nothing is written to")
    same(torch.get_rng_state(), state, because="the generator is put back")
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.layer.weight, self.layer.bias)


@pytest.mark.parametrize(
    ("model", "shape", "says"),
    [
        (nn.Conv2d(2, 2, 1, groups=2), (2, 1, 1), r"'weight': it has 2 groups"),
        (Recurrent(), (3, 2), r"'lstm.weight_ih_l0': it is a LSTM"),
        (
            Tied(),
            (3,),
            r"'first.weight': tied, 'first.weight' and 'second.weight' are one parameter",
        ),
        (nn.Sequential(nn.PReLU(), nn.Linear(3, 3)), (3,), r"'0.weight': it is a PReLU"),
        (Functional(), (3,), r"used without a call of the layer 'layer'"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), (3,), "parametrized"),
    ],
    ids=["groups", "lstm", "tied", "prelu", "functional", "parametrized"],
)
def test_what_has_no_block_is_refused_by_name(
    model: nn.Module, shape: tuple[int, ...], says: str
) -> None:
    with pytest.raises(TaskError, match=says):
        kfac(model.double(), "cross_entropy", (rows(4, *shape), torch.arange(4) % 2))


def test_layers_beside_it_can_be_chosen() -> None:
    x, y = rows(4, 3, 2), torch.arange(4) % 3
    model = Attention().double()
    chosen = ["out.weight", "out.bias"]
    k = kfac(model, "cross_entropy", (x, y), parameters=chosen)
    assert k.names == (("out.weight", "out.bias"),)


def test_wrong_arguments_are_refused() -> None:
    model, data = linear(), (rows(4, 3), torch.arange(4) % 3)
    for given, says in (
        ({"kind": "exakt"}, "Did you mean 'exact'"),
        ({"sharing": "sum"}, "'expand' or 'reduce'"),
        ({"bias": "none"}, "'joint' or 'apart'"),
        ({"draws": 0}, "at least 1"),
    ):
        with pytest.raises(TaskError, match=says):
            kfac(model, "cross_entropy", data, **given)
    with pytest.raises(TaskError, match="not known to be the negative logarithm"):
        kfac(model, "huber", (rows(4, 3), rows(4, 3)))
    with pytest.raises(DataError, match="iterator"):
        kfac(model, "cross_entropy", iter([data]))
    with pytest.raises(TaskError, match="not negative"):
        kfac(model, "cross_entropy", data).inverse(-1.0)
    with pytest.raises(TaskError, match="singular"):
        kfac(model, "cross_entropy", data).inverse()


def test_it_says_what_it_is_and_what_it_took() -> None:
    model, data = linear(), (rows(4, 3), torch.arange(4) % 3)
    k = kfac(model, "cross_entropy", data, kind="sampled", draws=2)
    assert "K-FAC of the Fisher information of sampled labels, expand, bias joint" in repr(k)
    # a forward pass is a third of a gradient, a backward pass two
    assert k.gradients == pytest.approx((1 + 2 * 2) / 3)
    k @ torch.ones(k.shape[0], dtype=torch.float64)
    assert k.gradients == pytest.approx((1 + 2 * 2) / 3)
    assert "inverted" in repr(k.inverse(0.1))
