"""Training and evaluating a torch model: the numbers, the modes, and nothing on the side."""

import math
import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler

from mlcourse import training
from mlcourse.loading import Loader

CLASSES = 4


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def examples(n: int = 22, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = generator(seed)
    return (
        torch.randint(0, 256, (n, 3, 6, 6), dtype=torch.uint8, generator=g),
        torch.randint(0, CLASSES, (n,), generator=g),
    )


def small_cnn(seed: int = 0, dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(20, CLASSES),
    )


def sgd(model: nn.Module, lr: float = 0.1) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


def everything(model: nn.Module) -> dict[str, object]:
    """What evaluation could change by accident."""
    return {
        "modes": [module.training for module in model.modules()],
        "tensors": {name: value.clone() for name, value in model.state_dict().items()},
        "versions": [tensor._version for tensor in (*model.parameters(), *model.buffers())],
        "grads": [p.grad if p.grad is None else p.grad.clone() for p in model.parameters()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "random": (torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)),
        "recording": torch.is_grad_enabled(),
    }


def assert_same(got, expected):
    torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)


def assert_unchanged(before, model):
    after = everything(model)
    for what in ("modes", "versions", "requires_grad", "recording"):
        assert after[what] == before[what], what
    assert_same(after["tensors"], before["tensors"])
    for got, expected in zip(after["grads"], before["grads"], strict=True):
        assert (got is None) == (expected is None)
        assert got is None or torch.equal(got, expected)
    assert torch.equal(after["random"][0], before["random"][0])
    assert after["random"][1] == before["random"][1]
    np.testing.assert_equal(after["random"][2], before["random"][2])


# Evaluation


def test_evaluate_gives_the_loss_and_accuracy_of_all_examples_at_once():
    X, y = examples()
    model = small_cnn(dropout=0.5)
    model(X.float())  # moves the running statistics away from 0 and 1
    found = training.evaluate(model, Loader(X, y, 5, shuffle=False))
    model.eval()
    logits = model(X / 255).detach()
    assert found["loss"] == pytest.approx(float(F.cross_entropy(logits, y)), rel=1e-6)
    assert found["accuracy"] == float((logits.argmax(1) == y).double().mean())


def test_evaluate_changes_nothing():
    X, y = examples()
    model = small_cnn(dropout=0.5)
    F.cross_entropy(model(X / 255), y).backward()
    model[0].weight.grad = None
    model[0].bias.requires_grad_(False)
    # A mixture of modes, as when batch norm is frozen while the rest is fine-tuned.
    model.train()
    model[1].eval()
    loader = Loader(X, y, 5, augment=[noisy], generator=generator(3))
    np.random.randn()  # NumPy draws two normal numbers and keeps the second
    before, state = everything(model), loader.generator.get_state()
    first = training.evaluate(model, loader)
    assert_unchanged(before, model)
    assert torch.equal(loader.generator.get_state(), state)
    assert training.evaluate(model, loader) == first


def noisy(X: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """An augmentation that draws from every source of randomness there is."""
    shift = (
        random.random() + np.random.rand() + torch.rand(()) + torch.rand((), generator=generator)
    )
    return (X + 10 * shift).to(torch.uint8)


def test_evaluate_puts_the_modes_back_after_an_error():
    X, y = examples()
    model = small_cnn()
    model[5].eval()
    before = everything(model)
    with pytest.raises(RuntimeError):
        training.evaluate(model, [(X[:4] / 255, y[:4]), (X[:4, :2] / 255, y[:4])])
    assert_unchanged(before, model)


def test_evaluate_records_no_gradient():
    X, y = examples()
    model = small_cnn()
    recorded = []
    model.register_forward_hook(lambda module, inputs, out: recorded.append(out.requires_grad))
    training.evaluate(model, Loader(X, y, 22))
    assert recorded == [False]


def test_evaluate_inside_no_grad_leaves_it_on():
    X, y = examples()
    with torch.no_grad():
        training.evaluate(small_cnn(), Loader(X, y, 5))
        assert not torch.is_grad_enabled()


def test_no_batches_are_refused():
    model = small_cnn()
    with pytest.raises(ValueError, match="there are no batches"):
        training.evaluate(model, [])
    with pytest.raises(ValueError, match="there are no batches"):
        training.train_model(model, [], sgd(model), epochs=1)


def test_an_iterator_is_refused_in_the_second_epoch():
    X, y = examples()
    model = small_cnn()
    with pytest.raises(ValueError, match="that can be iterated again"):
        training.train_model(model, iter(Loader(X, y, 5)), sgd(model), epochs=2)


# Training


def test_training_is_the_plain_loop():
    X, y = examples()
    model, other = small_cnn(1, dropout=0.3), small_cnn(1, dropout=0.3)
    loss = partial(F.cross_entropy, label_smoothing=0.1)
    torch.manual_seed(5)
    history = training.train_model(
        model, Loader(X, y, 8, generator=generator(2)), sgd(model), epochs=3, loss=loss
    )

    torch.manual_seed(5)
    optimizer, loader = sgd(other), Loader(X, y, 8, generator=generator(2))
    for epoch in range(3):
        losses, correct = [], 0
        for X_batch, y_batch in loader:
            logits = other(X_batch)
            value = loss(logits, y_batch)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(value.item() * len(y_batch))
            correct += int((logits.argmax(1) == y_batch).sum())
        assert history["train_loss"][epoch] == pytest.approx(sum(losses) / len(y), rel=1e-12)
        assert history["train_accuracy"][epoch] == correct / len(y)
    assert_same(model.state_dict(), other.state_dict())
    assert list(history) == ["train_loss", "train_accuracy", "lr", "seconds"]
    assert history["lr"] == [0.1] * 3
    assert all(seconds > 0 for seconds in history["seconds"])


def test_evaluation_changes_no_number_of_the_training():
    X, y = examples()
    runs = []
    for evaluate_on in (None, {"test": Loader(*examples(seed=9), 5), "train2": Loader(X, y, 5)}):
        model = small_cnn(1, dropout=0.3)
        loader = Loader(X, y, 8)  # draws from the global generator, as dropout does
        history = training.train_model(model, loader, sgd(model), epochs=3, evaluate_on=evaluate_on)
        assert all(module.training for module in model.modules())
        runs.append((model.state_dict(), history["train_loss"], history["train_accuracy"]))
    assert_same(runs[0], runs[1])
    assert list(history)[4:] == [*("test_loss", "test_accuracy", "train2_loss", "train2_accuracy")]
    final = training.evaluate(model, Loader(*examples(seed=9), 5, shuffle=False))
    assert history.last["test_loss"] == pytest.approx(final["loss"], rel=1e-6)
    assert history.last["test_accuracy"] == final["accuracy"]


def test_the_schedule_steps_after_each_batch_and_the_history_has_the_first_rate():
    X, y = examples()
    model = small_cnn()
    optimizer, loader = sgd(model, lr=1.0), Loader(X, y, 5)
    schedule = lr_scheduler.LambdaLR(optimizer, lambda batch: 1 / (1 + batch))
    assert len(loader) == 5
    history = training.train_model(model, loader, optimizer, epochs=3, schedule=schedule)
    assert history["lr"] == pytest.approx([1, 1 / 6, 1 / 11])
    assert schedule.last_epoch == 15


def test_training_happens_in_training_mode():
    model = small_cnn().eval()
    training.train_model(model, Loader(*examples(), 5), sgd(model), epochs=2)
    assert model.training
    assert model[1].num_batches_tracked == 10


def test_a_schedule_that_waits_for_a_metric_is_refused():
    model = small_cnn()
    optimizer = sgd(model)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer)
    with pytest.raises(ValueError, match="ReduceLROnPlateau waits for a metric"):
        training.train_model(model, Loader(*examples(), 5), optimizer, epochs=1, schedule=schedule)


def test_soft_labels_train_and_count_as_their_largest_class():
    X, y = examples()
    batches = [(X / 255, F.one_hot(y, CLASSES) * 0.9 + 0.1 / CLASSES)]
    soft, hard = small_cnn(1), small_cnn(1)
    loss = partial(F.cross_entropy, label_smoothing=0.1)
    of_soft = training.train_model(soft, batches, sgd(soft), epochs=2)
    of_hard = training.train_model(hard, [(X / 255, y)], sgd(hard), epochs=2, loss=loss)
    assert of_soft["train_loss"] == pytest.approx(of_hard["train_loss"], rel=1e-5)
    assert of_soft["train_accuracy"] == of_hard["train_accuracy"]


def test_divergence_ends_the_training_and_the_history_says_so():
    X, y = examples()
    model = small_cnn()
    loader = Loader(X, y, 5)
    history = training.train_model(
        model, loader, sgd(model, lr=1e30), epochs=9, evaluate_on={"test": loader}
    )
    assert history.diverged
    assert history.epochs < 9
    assert not math.isfinite(history.last["train_loss"])
    calm = training.train_model(small := small_cnn(), loader, sgd(small), epochs=1)
    assert not calm.diverged
    assert not training.History().diverged
    assert training.History(train_loss=[1.0, math.inf]).diverged
    assert not training.History(train_loss=[math.inf, 1.0]).diverged


def test_channels_last_is_kept():
    X, y = examples()
    model = small_cnn().to(memory_format=torch.channels_last)
    seen = []
    model[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].stride()))
    X = (X / 255).contiguous(memory_format=torch.channels_last)
    training.train_model(model, [(X, y)], sgd(model), epochs=1, evaluate_on={"test": [(X, y)]})
    assert seen == [X.stride()] * 2
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_bfloat16_on_a_cpu_when_asked():
    X, y = examples()
    model = small_cnn()
    seen = []
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    history = training.train_model(
        model,
        Loader(X, y, 8),
        sgd(model),
        epochs=2,
        precision="bfloat16",
        evaluate_on={"test": Loader(X, y, 8)},
    )
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}
    assert all(map(math.isfinite, history["train_loss"] + history["test_loss"]))


@pytest.mark.parametrize(
    ("precision", "message"),
    [("float16", '"float16" needs a GPU'), ("half", "precision is 'half'")],
)
def test_other_precisions_are_refused_on_a_cpu(precision, message):
    model = small_cnn()
    with pytest.raises(ValueError, match=message):
        training.evaluate(model, Loader(*examples(), 8), precision=precision)
    with pytest.raises(ValueError, match=message):
        training.train_model(
            model, Loader(*examples(), 8), sgd(model), epochs=1, precision=precision
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_training_on_a_gpu_in_each_precision(precision):
    X, y = examples()
    model = small_cnn().cuda()
    optimizer, loader = sgd(model), Loader(X, y, 5)
    schedule = lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10)
    history = training.train_model(
        model,
        loader,
        optimizer,
        epochs=2,
        schedule=schedule,
        precision=precision,
        evaluate_on={"test": Loader(X.cuda(), y.cuda(), 5)},
    )
    assert not history.diverged
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}


# Seeds


def test_a_seed_repeats_everything():
    draws = []
    for seed in (7, 7, 8):
        training.seed_everything(seed)
        draws.append((random.random(), np.random.rand(), float(torch.rand(()))))
    assert draws[0] == draws[1]
    assert all(a != b for a, b in zip(draws[0], draws[2], strict=True))
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark


def test_a_seed_out_of_range_is_refused():
    with pytest.raises(ValueError, match="between 0 and 2"):
        training.seed_everything(-1)
