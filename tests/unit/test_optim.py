"""Our optimisers are torch's: arguments, results, state, schedules, closures; bad input is told."""

import copy
import inspect
import io
import itertools
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler

from mlcourse import optim

NAMES = ("SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW")


def every(**choices):
    """Every combination of settings."""
    return [
        dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())
    ]


def cases():
    decay, on_off = (0, 0.05), (False, True)
    settings = {
        "SGD": [
            *every(lr=[0.1], momentum=[0, 0.9], weight_decay=decay),
            *every(lr=[0.1], momentum=[0.9], weight_decay=decay, nesterov=[True]),
            *every(lr=[0.1], momentum=[0.7], dampening=[0.3, 1.0], weight_decay=[0.05]),
        ],
        "Adagrad": [
            *every(lr=[0.1], lr_decay=[0, 0.03], weight_decay=decay),
            *every(lr=[0.1], initial_accumulator_value=[0.2], eps=[1e-3]),
        ],
        "Adadelta": every(lr=[1.0], rho=[0.9, 0.5], weight_decay=decay)
        + every(lr=[0.5], eps=[1e-3]),
        "RMSprop": every(
            lr=[0.01], alpha=[0.9], weight_decay=decay, momentum=[0, 0.8], centered=on_off
        ),
        "Adam": every(lr=[0.01], weight_decay=decay, amsgrad=on_off)
        + every(lr=[0.01], betas=[(0.0, 0.5)], eps=[1e-3]),
        "AdamW": every(lr=[0.01], weight_decay=decay, amsgrad=on_off)
        + every(lr=[0.01], betas=[(0.5, 0.9)], eps=[1e-2]),
    }
    return [(name, options) for name in NAMES for options in settings[name]]


def model(seed=0):
    """An MLP, float64; both optimisers of a pair get the same one."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 3)
        ).double()


def groups(network, lr):
    """Weights as the options say; biases without decay; the last layer with its own lr."""
    first, last = list(network[:-1].parameters()), list(network[-1].parameters())
    return [
        {"params": [p for p in first if p.ndim > 1]},
        {"params": [p for p in first if p.ndim < 2], "weight_decay": 0},
        {"params": last, "lr": lr / 3},
    ]


def pair(name, options, seed=0):
    """The same network twice, with our optimiser and with torch's."""
    networks = [model(seed), model(seed)]
    made = [
        getattr(module, name)(groups(network, options["lr"]), **options)
        for module, network in zip((optim, torch.optim), networks, strict=True)
    ]
    return networks, made


def batches(count, seed=1):
    """Mini-batches of 8 of 40 examples, labels that follow a rule."""
    draw = torch.Generator().manual_seed(seed)
    X = torch.randn(40, 6, generator=draw, dtype=torch.float64)
    y = (X @ torch.randn(6, 3, generator=draw, dtype=torch.float64)).argmax(1)
    for _ in range(count):
        chosen = torch.randint(40, (8,), generator=draw)
        yield X[chosen], y[chosen]


def update(network, optimizer, X, y):
    optimizer.zero_grad()
    F.cross_entropy(network(X), y).backward()
    optimizer.step()


def worst_error(ours, theirs):
    """The largest relative error of a parameter, as a norm over a norm."""
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    with torch.no_grad():
        return max(float((p - q).norm() / q.norm()) for p, q in pairs)


# The same arguments, the same numbers


@pytest.mark.parametrize("name", NAMES)
def test_arguments_their_order_and_defaults_are_torch_s(name):
    ours, theirs = (
        list(inspect.signature(getattr(module, name).__init__).parameters.values())[1:]
        for module in (optim, torch.optim)
    )
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs[: len(ours)]]
    others = {p.name for p in theirs[len(ours) :]}
    about_speed = {"foreach", "fused", "capturable", "differentiable"}
    assert others <= {*about_speed, "maximize", "decoupled_weight_decay"}


@pytest.mark.parametrize(("name", "options"), cases())
def test_200_steps_on_an_mlp_are_torch_s(name, options, record_property):
    networks, optimizers = pair(name, options)
    start = model()
    schedules = [
        lr_scheduler.LambdaLR(made, lambda t: min(1, (t + 1) / 10) * 0.99**t) for made in optimizers
    ]
    worst = 0.0
    for t, (X, y) in enumerate(batches(200)):
        for network, made, schedule in zip(networks, optimizers, schedules, strict=True):
            update(network, made, X, y)
            schedule.step()
        if t % 10 == 9:
            worst = max(worst, worst_error(*networks))
    record_property("worst relative error", worst)
    print(f"{name} {options}: worst relative error {worst:.1e}")
    assert worst < 1e-10
    assert worst_error(start, networks[1]) > 1e-2  # so that equality means something


@pytest.mark.parametrize("name", NAMES)
def test_the_defaults_give_torch_s_numbers_with_random_gradients_of_any_size(name):
    for seed in range(5):
        draw = torch.Generator().manual_seed(seed)
        shapes = [(), (1,), (3, 2), (2, 3, 2, 2)]
        starts = [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes]
        ours, theirs = ([nn.Parameter(s.clone()) for s in starts] for _ in range(2))
        made = [getattr(optim, name)(ours), getattr(torch.optim, name)(theirs)]
        for _ in range(50):
            scale = 10 ** (4 * torch.rand((), generator=draw, dtype=torch.float64) - 2)
            for p, q in zip(ours, theirs, strict=True):
                p.grad = scale * torch.randn(p.shape, generator=draw, dtype=torch.float64)
                q.grad = p.grad.clone()
            for optimizer in made:
                optimizer.step()
        for p, q in zip(ours, theirs, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *[(name, {}) for name in NAMES],
        ("SGD", {"momentum": 0.9, "dampening": 0.5}),
        ("RMSprop", {"momentum": 0.9, "centered": True}),
        ("Adam", {"amsgrad": True}),
        ("Adagrad", {"lr_decay": 0.1}),
    ],
)
def test_a_parameter_without_gradient_rests_and_has_its_own_count(name, options):
    ours, theirs = ([nn.Parameter(torch.ones(2).double()) for _ in range(3)] for _ in range(2))
    made = [getattr(optim, name)(ours, lr=0.1, weight_decay=0.1, **options)]
    made.append(getattr(torch.optim, name)(theirs, lr=0.1, weight_decay=0.1, **options))
    draw = torch.Generator().manual_seed(0)
    for t in range(12):
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            has_gradient = (True, t % 3 == 2, False)[i]
            p.grad = torch.randn(2, generator=draw).double() if has_gradient else None
            q.grad = None if p.grad is None else p.grad.clone()
        for optimizer in made:
            optimizer.step()
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-13, atol=0)
    assert torch.equal(ours[2], torch.ones(2).double())
    assert ours[2] not in made[0].state


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_dtypes_may_be_mixed_and_stay(name, dtype):
    params = [nn.Parameter(torch.ones(3, dtype=d)) for d in (dtype, torch.float64)]
    made = getattr(optim, name)(params)
    for p in params:
        p.grad = torch.full_like(p, 0.5)
    made.step()
    assert [p.dtype for p in params] == [dtype, torch.float64]
    assert all(p.isfinite().all() and (p < 1).all() for p in params[1:])
    for p in params:
        tensors = [value for value in made.state[p].values() if isinstance(value, torch.Tensor)]
        assert all(value.dtype == p.dtype for value in tensors)


@pytest.mark.parametrize(
    ("name", "options"),
    [*[(name, {}) for name in NAMES], ("SGD", {"momentum": 0.9, "nesterov": True})],
)
@pytest.mark.parametrize("weight_decay", [0, 0.1])
def test_gradients_are_left_as_they_were(name, options, weight_decay):
    p = nn.Parameter(torch.ones(3))
    made = getattr(optim, name)([p], weight_decay=weight_decay, **options)
    for grad in (1.0, 2.0):
        p.grad = torch.full((3,), grad)
        made.step()
        assert torch.equal(p.grad, torch.full((3,), grad))


# The formulas, by hand


def stepped(made, p, grads):
    values = []
    for grad in grads:
        p.grad = torch.full_like(p, grad)
        made.step()
        values.append(float(p.detach()))
    return values


def test_momentum_is_a_sum_so_its_step_grows_to_lr_over_one_minus_momentum():
    p = nn.Parameter(torch.zeros((), dtype=torch.float64))
    *_, before, last = stepped(optim.SGD([p], lr=0.1, momentum=0.9), p, [1.0] * 400)
    assert before - last == pytest.approx(0.1 / (1 - 0.9), rel=1e-12)


def test_adam_s_first_step_is_lr_whatever_the_gradient():
    for grad in (1e-3, 1.0, 1e6):
        p = nn.Parameter(torch.zeros((), dtype=torch.float64))
        (first,) = stepped(optim.Adam([p], lr=0.1), p, [grad])
        assert first == pytest.approx(-0.1 / (1 + 1e-8 / grad), rel=1e-12)


def test_adagrad_s_steps_fall_as_the_root_of_their_number():
    p = nn.Parameter(torch.zeros((), dtype=torch.float64))
    values = stepped(optim.Adagrad([p], lr=0.1), p, [3.0] * 20)
    assert values[-1] == pytest.approx(-0.1 * sum(n**-0.5 for n in range(1, 21)), rel=1e-8)


def test_adamw_shrinks_by_the_same_factor_and_adam_does_not():
    shrunk = {}
    for name in ("Adam", "AdamW"):
        p = nn.Parameter(torch.ones(2, dtype=torch.float64))
        made = getattr(optim, name)([p], lr=0.01, weight_decay=0.1)
        # Gradients of mean zero and different size: decay is all that lasts.
        for t in range(400):
            p.grad = torch.tensor([100.0, 0.01]).double() * (-1) ** t
            made.step()
        shrunk[name] = p.detach().tolist()
    assert shrunk["AdamW"][0] == pytest.approx(shrunk["AdamW"][1], rel=0.02)
    assert shrunk["Adam"][1] < shrunk["Adam"][0] / 2


def test_centred_rmsprop_stays_finite_where_the_variance_rounds_below_zero():
    start = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    lost = []
    for module in (optim, torch.optim):
        p = nn.Parameter(torch.zeros(1000))
        made = module.RMSprop([p], lr=1e-4, alpha=0.9, centered=True)
        for _ in range(300):
            p.grad = start.clone()
            made.step()
        lost.append(bool(p.isnan().any()))
    assert lost == [False, True]


# What torch.optim.Optimizer promises


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "schedule",
    [
        partial(lr_scheduler.StepLR, step_size=7, gamma=0.5),
        partial(lr_scheduler.CosineAnnealingLR, T_max=40),
        partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=40, cycle_momentum=False),
    ],
    ids=["step", "cosine", "one cycle"],
)
def test_torch_s_schedules_drive_them(name, schedule):
    networks, optimizers = pair(name, {"lr": 0.05})
    schedules = [schedule(made) for made in optimizers]
    for X, y in batches(40):
        for network, made, one in zip(networks, optimizers, schedules, strict=True):
            update(network, made, X, y)
            one.step()
        rates = [[group["lr"] for group in made.param_groups] for made in optimizers]
        assert rates[0] == rates[1]
    assert worst_error(*networks) < 1e-10


@pytest.mark.parametrize(
    ("name", "options"), [("SGD", {"momentum": 0.9}), ("Adam", {}), ("AdamW", {})]
)
def test_one_cycle_moves_momentum_too(name, options):
    networks, optimizers = pair(name, {"lr": 0.05, **options})
    schedules = [lr_scheduler.OneCycleLR(made, max_lr=0.1, total_steps=40) for made in optimizers]
    for X, y in batches(40):
        for network, made, one in zip(networks, optimizers, schedules, strict=True):
            update(network, made, X, y)
            one.step()
    assert worst_error(*networks) < 1e-10


def test_momentum_that_is_switched_on_later_starts_then():
    for name in ("SGD", "RMSprop"):
        p = nn.Parameter(torch.ones(2))
        made = getattr(optim, name)([p], lr=0.1)
        p.grad = torch.ones(2)
        made.step()
        assert "momentum_buffer" not in made.state[p]
        made.param_groups[0]["momentum"] = 0.9
        made.step()
        assert "momentum_buffer" in made.state[p]


KEEPING = [
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}),
    ("Adadelta", {"lr": 1.0}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True}),
    ("Adam", {"lr": 0.01, "amsgrad": True}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
]


@pytest.mark.parametrize(("name", "options"), KEEPING)
def test_a_state_dict_takes_a_run_over_bit_for_bit(name, options):
    (network, _), (made, _) = pair(name, options)
    data = list(batches(20))
    for X, y in data[:10]:
        update(network, made, X, y)
    file = io.BytesIO()
    torch.save({"model": network.state_dict(), "optimizer": made.state_dict()}, file)
    file.seek(0)
    kept = torch.load(file, weights_only=True)
    other = model(seed=5)
    other.load_state_dict(kept["model"])
    taken = getattr(optim, name)(groups(other, 7.0), lr=7.0)
    taken.load_state_dict(kept["optimizer"])
    copied = copy.deepcopy((network, made))
    for X, y in data[10:]:
        for pairs in ((network, made), (other, taken), copied):
            update(*pairs, X, y)
    for p, q, r in zip(
        network.parameters(), other.parameters(), copied[0].parameters(), strict=True
    ):
        assert torch.equal(p, q)
        assert torch.equal(p, r)


@pytest.mark.parametrize(("name", "options"), KEEPING)
@pytest.mark.parametrize("begins", [0, 1], ids=["from ours to torch's", "from torch's to ours"])
def test_a_state_dict_moves_between_torch_and_ours(name, options, begins):
    networks, optimizers = pair(name, options)
    first, second = begins, 1 - begins
    data = list(batches(40))
    for X, y in data[:20]:
        update(networks[first], optimizers[first], X, y)
    networks[second].load_state_dict(networks[first].state_dict())
    optimizers[second].load_state_dict(copy.deepcopy(optimizers[first].state_dict()))
    for X, y in data[20:]:
        for network, made in zip(networks, optimizers, strict=True):
            update(network, made, X, y)
    assert worst_error(*networks) < 1e-10


@pytest.mark.parametrize("name", NAMES)
def test_a_closure_is_called_once_with_gradients_on_and_its_loss_returned(name):
    network = model()
    made = getattr(optim, name)(network.parameters(), lr=0.01)
    before = copy.deepcopy(network)
    ((X, y),) = batches(1)
    losses = []

    def closure():
        made.zero_grad()
        losses.append(F.cross_entropy(network(X), y))
        losses[-1].backward()
        return losses[-1]

    with torch.no_grad():
        returned = made.step(closure)
    assert len(losses) == 1
    assert returned is losses[0]
    assert worst_error(network, before) > 0
    assert made.step() is None


def test_a_group_added_later_has_its_own_settings():
    p, q = (nn.Parameter(torch.ones(2)) for _ in range(2))
    made = optim.SGD([p], lr=0.1)
    made.add_param_group({"params": [q], "lr": 1.0, "weight_decay": 0.5})
    for parameter in (p, q):
        parameter.grad = torch.ones(2)
    made.step()
    assert p.tolist() == pytest.approx([0.9, 0.9])
    assert q.tolist() == pytest.approx([-0.5, -0.5])


def test_hooks_before_and_after_a_step_are_called():
    p = nn.Parameter(torch.ones(2))
    made = optim.Adam([p])
    called = []
    made.register_step_pre_hook(lambda *_: called.append("before"))
    made.register_step_post_hook(lambda *_: called.append("after"))
    made.step()
    assert called == ["before", "after"]


# Bad input


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SGD", {"lr": -1}, "lr is -1: give 0 or more"),
        ("SGD", {"lr": float("nan")}, "lr is nan: give 0 or more"),
        ("SGD", {"momentum": -0.1}, "momentum is -0.1: give 0 or more"),
        ("SGD", {"weight_decay": -0.1}, "weight_decay is -0.1: give 0 or more"),
        ("SGD", {"nesterov": True}, "nesterov is on with momentum 0 and dampening 0: it needs"),
        (
            "SGD",
            {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
            "nesterov is on with momentum 0.9 and dampening 0.1: it needs momentum above 0",
        ),
        ("Adagrad", {"lr_decay": -1}, "lr_decay is -1: give 0 or more"),
        ("Adagrad", {"initial_accumulator_value": -1}, "initial_accumulator_value is -1: give"),
        ("Adadelta", {"rho": 1.1}, "rho is 1.1: give at least 0 and less than 1"),
        ("RMSprop", {"alpha": -0.1}, "alpha is -0.1: give at least 0 and less than 1"),
        ("RMSprop", {"eps": -1e-8}, "eps is -1e-08: give 0 or more"),
        ("Adam", {"betas": (0.9, 1.0)}, r"betas is \(0.9, 1.0\): give at least 0 and less than 1"),
        ("AdamW", {"betas": (-0.1, 0.9)}, r"betas is \(-0.1, 0.9\): give at least 0"),
    ],
)
def test_bad_settings_are_refused_at_the_start_and_in_a_group(name, options, message):
    p = nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match=message):
        getattr(optim, name)([p], **options)
    with pytest.raises(ValueError, match=message):
        getattr(optim, name)([{"params": [p], **options}])
    made = getattr(optim, name)([p])
    with pytest.raises(ValueError, match=message):
        made.add_param_group({"params": [nn.Parameter(torch.ones(1))], **options})
    assert len(made.param_groups) == 1


@pytest.mark.parametrize("name", NAMES)
def test_sparse_and_complex_gradients_are_refused(name):
    table = nn.Embedding(4, 2, sparse=True)
    before = table.weight.detach().clone()
    made = getattr(optim, name)(table.parameters())
    table(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(
        ValueError, match=r"a gradient of shape \(4, 2\) is sparse: use torch.optim"
    ):
        made.step()
    assert torch.equal(table.weight, before)
    p = nn.Parameter(torch.ones(3, dtype=torch.complex64))
    made = getattr(optim, name)([p])
    p.grad = torch.ones_like(p)
    with pytest.raises(ValueError, match=r"a gradient of shape \(3,\) is complex"):
        made.step()
