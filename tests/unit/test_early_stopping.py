"""Early stopping: when it says stop, which weights it keeps, and how it works with checkpoints."""

import math
import random

import pytest
import torch
from torch import nn

from mlcourse import regularization, training
from mlcourse.early_stopping import EarlyStopping
from mlcourse.training import History, fit, train_model


class Counter(nn.Module):
    """A model whose one weight, and one buffer, say how many updates there were."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("updates", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.updates += 1
        return torch.zeros(len(x), 2) + self.weight


def run(values, patience=2, column="validation_loss", **settings):
    """Feed the values one by one, until told to stop; return the stopper and the epochs seen."""
    model = Counter()
    stopping = EarlyStopping(model, patience, column, **settings)
    history = History()
    for epoch, value in enumerate(values):
        model.weight.data.fill_(epoch)
        model.updates.fill_(10 * epoch)
        history.append(**{column: value})
        if stopping(history):
            break
    return model, stopping, history.epochs


@pytest.mark.parametrize(
    ("values", "settings", "best_epoch", "epochs"),
    [
        ([3, 2, 1], {}, 2, 3),
        ([3, 1, 2, 2, 0], {}, 1, 4),
        ([3, 1, 2, 0.5, 1, 1, 0], {}, 3, 6),
        ([1, 2, 0], {"patience": 1}, 0, 2),
        ([1, 1, 1, 1], {}, 0, 3),  # equal is not better
        ([1, 0.9, 0.8, 0.7], {"min_delta": 0.15}, 2, 4),
        ([1, 0.9, 0.85, 0.8], {"min_delta": 0.5}, 0, 3),
        ([math.nan, 2, math.nan, 1, math.nan, math.nan, 0], {}, 3, 6),
        ([math.inf, -math.inf, 2, 3, 3], {"patience": 3}, 2, 5),
        ([0.1, 0.3, 0.2, 0.3, 0.4], {"column": "validation_accuracy"}, 1, 4),
        ([0.1, 0.3, 0.2, 0.3, 0.4], {"column": "f1", "mode": "max"}, 1, 4),
        ([0.1, 0.3, 0.2, 0.3], {"column": "test_accuracy", "mode": "min"}, 0, 3),
        ([0.5, 0.6, 0.7, 0.8], {"mode": "max", "min_delta": 0.15}, 2, 4),
    ],
)
def test_it_keeps_the_best_and_stops_after_patience(values, settings, best_epoch, epochs):
    model, stopping, seen = run(values, **settings)
    assert seen == epochs
    assert stopping.best_epoch == best_epoch
    assert stopping.best == values[best_epoch]
    stopping.restore()
    assert model.weight.item() == best_epoch
    assert model.updates.item() == 10 * best_epoch


def naive(values, patience, min_delta):
    """The rule with a counter, as a loop would have it."""
    best, best_epoch, waited = math.inf, None, 0
    for epoch, value in enumerate(values):
        if value < best - min_delta:
            best, best_epoch, waited = value, epoch, 0
        else:
            waited += 1
        if waited >= patience:
            return best_epoch, epoch + 1
    return best_epoch, len(values)


def test_random_curves_stop_where_a_counter_does():
    draw = random.Random(2)
    for _ in range(300):
        values = [draw.choice([math.nan, *[draw.random()] * 4]) for _ in range(draw.randint(1, 15))]
        patience, min_delta = draw.randint(1, 5), draw.choice([0.0, 0.1])
        model, stopping, epochs = run(values, patience, min_delta=min_delta)
        assert (stopping.best_epoch, epochs) == naive(values, patience, min_delta)
        if stopping.best_epoch is not None:
            stopping.restore()
            assert model.weight.item() == stopping.best_epoch


def test_the_weights_are_a_copy_and_can_be_restored_again():
    model, stopping, _ = run([3, 1, 2])
    for _ in range(2):
        stopping.restore()
        assert model.weight.item() == 1
        with torch.no_grad():
            model.weight.add_(100)
    assert model.weight.requires_grad


def test_a_new_history_is_a_new_run():
    model, stopping, _ = run([3, 1, 2])
    history = History()
    history.append(validation_loss=2.0)
    model.weight.data.fill_(7)
    assert not stopping(history)
    assert (stopping.best_epoch, stopping.best) == (0, 2.0)
    model.weight.data.fill_(8)
    stopping.restore()
    assert model.weight.item() == 7


def test_it_does_not_touch_mode_gradients_or_optimizer():
    model, stopping, _ = run([3, 1, 2])
    model.weight.grad = torch.tensor(7.0)
    weight = model.weight
    model.eval()
    stopping.restore()
    assert not model.training
    assert model.weight is weight
    assert weight.grad == 7.0


@pytest.mark.parametrize("values", [[math.nan] * 4, []])
def test_without_a_finite_number_there_is_nothing_to_restore(values):
    _, stopping, epochs = run(values)
    assert epochs == min(len(values), 2)
    assert stopping.best is None
    with pytest.raises(ValueError, match=r"^no epoch had a finite validation_loss: train at least"):
        stopping.restore()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patience": 0}, "patience is 0: give 1 epoch or more"),
        ({"patience": 1, "min_delta": -0.1}, "min_delta is -0.1: give 0 or a positive"),
        ({"patience": 1, "min_delta": math.nan}, "min_delta is nan"),
        ({"patience": 1, "mode": "lower"}, 'mode is \'lower\': choose "min" or "max"'),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        EarlyStopping(Counter(), **settings)


def test_a_missing_column_is_named_with_those_there_are():
    history = History()
    history.append(train_loss=1.0, test_loss=2.0)
    with pytest.raises(
        ValueError, match=r"no column validation_loss: choose one of train_loss, test_loss$"
    ):
        EarlyStopping(Counter(), 1)(history)


# In training


class Interrupted(Exception):
    """As when the machine is switched off in the middle of an epoch."""


class Experiment:
    """A small network that overfits a few noisy examples."""

    def __init__(self, patience=3, seed=0):
        training.seed_everything(seed)
        g = torch.Generator().manual_seed(5)
        X = torch.randn(60, 5, generator=g)
        y = (X[:, 0] + torch.randn(60, generator=g) > 0).long()
        self.train_set = [(X[:20], y[:20])]
        self.held_out = [(X[20:], y[20:])]
        self.model = nn.Sequential(
            nn.Linear(5, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 2)
        )
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)
        self.stopping = EarlyStopping(self.model, patience)
        self.seen = []

    def train(self, epochs=60, stop=None, **more):
        return train_model(
            self.model,
            self.train_set,
            self.optimizer,
            epochs=epochs,
            evaluate_on={"validation": self.held_out},
            stop=stop or self.stopping,
            **more,
        )

    def weights(self):
        return {k: v.clone() for k, v in self.model.state_dict().items()}


def assert_same(got, expected):
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_train_model_stops_and_the_best_weights_have_the_best_score():
    experiment = Experiment()
    history = experiment.train()
    stopping = experiment.stopping
    column = history["validation_loss"]
    assert 4 <= history.epochs < 60
    assert stopping.best_epoch == history.epochs - 1 - 3
    assert stopping.best == min(column) == column[stopping.best_epoch]
    stopping.restore()
    score = training.evaluate(experiment.model, experiment.held_out)["loss"]
    assert score == pytest.approx(stopping.best, rel=1e-12)


def test_the_epochs_before_the_stop_are_those_without_it():
    stopped = Experiment()
    history = stopped.train()
    whole = Experiment()
    expected = whole.train(epochs=history.epochs, stop=lambda history: False)
    for name in set(history) - {"seconds"}:
        assert history[name] == expected[name]
    assert_same(stopped.weights(), whole.weights())


def test_it_is_asked_after_each_epoch_when_the_checkpoint_is_there(tmp_path):
    path = tmp_path / "run.pt"
    experiment = Experiment()
    seen = []

    def stop(history):
        saved = torch.load(path, weights_only=True)["history"]
        seen.append(history.epochs)
        assert len(saved["train_loss"]) == history.epochs
        return history.epochs == 3

    assert experiment.train(checkpoint=path, stop=stop).epochs == 3
    assert seen == [1, 2, 3]


def test_a_stopped_run_that_is_started_again_does_nothing_more(tmp_path):
    path = tmp_path / "run.pt"
    first = Experiment()
    history = first.train(checkpoint=path)
    content = path.read_bytes()

    again = Experiment(seed=9)
    assert again.train(checkpoint=path) == history
    assert path.read_bytes() == content
    assert_same(again.weights(), first.weights())
    assert (again.stopping.best_epoch, again.stopping.best) == (
        first.stopping.best_epoch,
        first.stopping.best,
    )
    message = rf"^the weights of epoch {first.stopping.best_epoch} \(from 0\), the best, are not in"
    with pytest.raises(ValueError, match=message):
        again.stopping.restore()
    assert_same(again.weights(), first.weights())


def interrupted_after(epochs, path):
    """A run whose next epoch was interrupted after the checkpoint of this one."""

    def stop(history):
        if history.epochs == epochs:
            raise Interrupted
        return False

    with pytest.raises(Interrupted):
        Experiment().train(checkpoint=path, stop=stop)


def test_a_resumed_run_stops_at_the_same_epoch_with_the_same_best(tmp_path):
    whole = Experiment()
    history = whole.train()
    best_epoch = whole.stopping.best_epoch
    whole.stopping.restore()
    assert 1 <= best_epoch < history.epochs - 1
    for epochs in range(1, history.epochs + 1):
        path = tmp_path / f"{epochs}.pt"
        interrupted_after(epochs, path)
        resumed = Experiment(seed=7)
        assert resumed.train(checkpoint=path)["validation_loss"] == history["validation_loss"]
        assert resumed.stopping.best_epoch == best_epoch
        # The checkpoint of the best epoch itself still has its weights.
        if epochs <= best_epoch + 1:
            resumed.stopping.restore()
            assert_same(resumed.weights(), whole.weights())
        else:
            with pytest.raises(ValueError, match=r"the run was resumed after it"):
                resumed.stopping.restore()


def test_a_run_that_diverges_keeps_the_best_weights():
    experiment = Experiment(patience=50)

    def stop(history):
        done = experiment.stopping(history)
        if history.epochs == 4:
            experiment.model[0].weight.data.fill_(math.nan)
        return done

    history = experiment.train(stop=stop)
    assert history.diverged
    assert history.epochs == 5
    experiment.stopping.restore()
    assert all(torch.isfinite(v).all() for v in experiment.model.state_dict().values())


def test_fit_stops_too():
    X = torch.zeros(4, 1)
    seen = []

    def stop(history):
        seen.append(history.epochs)
        return history.epochs == 3

    history = fit(lambda X, Y: 1.0, X, X, epochs=9, batch_size=2, stop=stop)
    assert history.epochs == 3
    assert seen == [1, 2, 3]


def test_the_name_can_be_had_from_regularization():
    assert regularization.EarlyStopping is EarlyStopping
