"""Every declared mistake is rejected with its own sentence, every right answer passes.

The seeds stand for the grader's: they are not those of the notebook.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from mlcourse.checks import EXERCISES, Question, load
from mlcourse.checks.compare import plain
from mlcourse.checks.judge import Judge, observe

SEEDS = (20260101, 7, 123456789)

#: Their checks train networks; in `make check` each exercise's other tests must do.
HEAVY = {
    "four_ways": {"autograd_train", "nn_train", "optim_train"},
    "train_a_cnn": {"build_cnn", "evaluate", "train_epoch"},
    "better_training": {"zca"},
}
QUESTIONS = [
    pytest.param(
        question,
        id=f"{name}.{question.name}",
        marks=[pytest.mark.slow] if question.name in HEAVY.get(name, ()) else [],
    )
    for name in EXERCISES
    for question in load(name).questions
    if question.kind != "text"
]
FUNCTIONS = [param for param in QUESTIONS if param.values[0].kind == "function"]
CHOICES = [param for param in QUESTIONS if param.values[0].choices]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(params=[SEEDS[0], *(pytest.param(s, marks=pytest.mark.slow) for s in SEEDS[1:])])
def seed(request):
    return request.param


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_reference_passes(question: Question, seed: int):
    assert Judge(question, [seed])(question.reference).status == "passed"


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_variant_passes(question: Question, seed: int):
    judge = Judge(question, [seed])
    for variant in question.variants:
        verdict = judge(variant.answer)
        assert verdict.status == "passed", (variant.name, verdict.message)


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_mistake_is_rejected_with_its_own_sentence(question: Question, seed: int):
    """One seed is enough to find it, which keeps each mistake unlike every other as well."""
    judge = Judge(question, [seed])
    for mistake in question.mistakes:
        verdict = judge(mistake.answer)
        assert verdict.status in ("failed", "error"), mistake.name
        assert verdict.message == mistake.says, (mistake.name, verdict.mistake)


@pytest.mark.parametrize("question", FUNCTIONS)
def test_a_function_question_has_three_variants_and_three_hints(question: Question):
    assert len(question.variants) >= 3
    assert len(question.hints) >= 2
    assert len(question.mistakes) >= 5


@pytest.mark.parametrize("question", QUESTIONS)
def test_mistakes_have_names_of_their_own_and_one_line(question: Question):
    names = [mistake.name for mistake in question.mistakes]
    assert len(set(names)) == len(names)
    for text in [mistake.says for mistake in question.mistakes] + list(question.hints):
        assert text
        assert "\n" not in text
        assert text == text.strip()
        assert len(text) < 260


@pytest.mark.parametrize("question", FUNCTIONS)
def test_nothing_random_is_left_in_the_cases(question: Question):
    """The same seed draws the same inputs, and another seed draws others."""
    first, again, other = (Judge(question, [seed]).cases for seed in (SEEDS[0], SEEDS[0], SEEDS[1]))
    assert described(first) == described(again)
    if question.name != "init_params":  # it takes sizes alone
        assert described(first) != described(other)


def described(cases) -> str:
    def text(value) -> str:
        if isinstance(value, torch.Generator):
            return str(value.initial_seed())
        if isinstance(value, torch.Tensor):
            return str(value.tolist())
        if isinstance(value, dict):
            return str({key: text(item) for key, item in value.items()})
        return repr(value)

    return str([[text(argument) for argument in case] for case in cases])


@pytest.mark.parametrize("question", FUNCTIONS)
def test_the_reference_leaves_its_arguments_alone(question: Question):
    judge = Judge(question, [SEEDS[0]])
    for case in judge.cases:
        assert observe(question, question.reference, case).changed == ()


@pytest.mark.parametrize("question", FUNCTIONS)
def test_the_stub_is_not_attempted(question: Question):
    def stub(*args):
        raise NotImplementedError()  # your code here

    assert Judge(question, [SEEDS[0]])(stub).status == "not attempted"


@pytest.mark.parametrize("question", FUNCTIONS)
@pytest.mark.parametrize("answer", [lambda *a: None, lambda *a: {}, lambda *a: (1, 2), lambda: 1])
def test_nothing_gets_no_marks(question: Question, answer):
    assert Judge(question, [SEEDS[0]])(answer).status in ("failed", "error")


@pytest.mark.parametrize("question", CHOICES)
def test_every_choice_is_right_or_has_its_sentence(question: Question):
    assert question.choices is not None
    answers = {mistake.answer for mistake in question.mistakes} | {question.reference}
    assert answers == set(question.choices)
    assert list(question.choices) == sorted(question.choices)
    assert Judge(question, [0])(question.reference.upper()).status == "passed"


def test_right_letters_are_spread():
    letters = [param.values[0].reference for param in CHOICES]
    for letter in "abcd":
        assert letters.count(letter) <= 0.4 * len(letters)


@pytest.mark.parametrize("question", QUESTIONS)
def test_values_accept_their_python_and_torch_forms(question: Question):
    if question.kind != "value" or question.choices:
        return
    judge = Judge(question, [0])
    assert judge(torch.tensor(float(question.reference), dtype=torch.float64)).status == "passed"
    assert judge(round(float(question.reference), 4)).status == "passed"
    assert judge(str(question.reference)).status == "failed"
    assert judge(...).status == "not attempted"
    wrong = judge(plain(question.reference) * 1.37 + 0.211)
    assert wrong.status == "failed"
    assert str(question.reference) not in wrong.message.replace(question.name, "")


#: The mistakes that the course promises to name, each where a student makes it.
PROMISED = [
    ("by_hand.backward", "summed"),
    ("by_hand.loss_accuracy", "sum_not_mean"),
    ("by_hand.backward", "divided_twice"),
    ("by_hand.loss_accuracy", "softmax_twice"),
    ("by_hand.forward", "softmax_twice"),
    ("four_ways.cross_entropy", "softmax_twice"),
    ("by_hand.forward", "no_max_shift"),
    ("four_ways.cross_entropy", "no_max_shift"),
    ("by_hand.loss_accuracy", "log_of_zero"),
    ("by_hand.init_params", "transposed"),
    ("by_hand.forward", "transposed_W"),
    ("by_hand.backward", "bias_not_summed"),
    ("by_hand.backward", "slope_without_square"),
    ("by_hand.backward", "slope_at_h"),
    ("by_hand.backward", "no_slope"),
    ("by_hand.backward", "transposed_Wy"),
    ("by_hand.loss_accuracy", "percent"),
    ("by_hand.loss_accuracy", "argmax_over_examples"),
    ("by_hand.backward", "updated_Wy_0.1"),
    ("by_hand.backward", "updated_Wy_in_place_0.1"),
    ("by_hand.train", "late_gradient"),
    ("by_hand.sgd", "in_place"),
    ("by_hand.train", "in_place"),
    ("by_hand.forward", "cast"),
    ("by_hand.backward", "cast"),
    ("by_hand.sgd", "cast"),
    ("four_ways.autograd_train", "gradients_added"),
    ("four_ways.autograd_train", "no_graph"),
    ("conv_arithmetic.output_size", "floor_forgotten"),
    ("conv_arithmetic.output_size", "padding_once"),
    ("conv_arithmetic.output_size", "dilation_ignored"),
    ("conv_arithmetic.same_padding", "plus"),
    ("conv_arithmetic.padding_of_conv1", "plus"),
    ("conv_arithmetic.padding_of_pool1", "two"),
    ("conv_arithmetic.conv_parameters", "input_channels_forgotten"),
    ("conv_arithmetic.conv_parameters", "bias_forgotten"),
    ("conv_arithmetic.conv_parameters", "groups_ignored"),
    ("conv_arithmetic.conv2_parameters", "input_channels_forgotten"),
    ("conv_arithmetic.conv2_parameters", "image_channels_added"),
    ("conv_arithmetic.cnn_table", "input_channels_forgotten"),
    ("conv_arithmetic.cnn_table", "batch_counted"),
    ("conv_arithmetic.total_parameters", "image_channels_added"),
    ("conv_arithmetic.total_parameters", "same_padding"),
    ("conv_arithmetic.receptive_field", "kernel_times_depth"),
    ("conv_arithmetic.receptive_field", "dilation_ignored"),
    ("conv_arithmetic.bag_of_words", "dictionary_forgotten"),
    ("train_a_cnn.build_cnn", "hundred_outputs"),
    ("train_a_cnn.build_cnn", "same_everywhere"),
    ("train_a_cnn.first_updates", "none"),
    ("train_a_cnn.evaluate", "no_eval"),
    ("train_a_cnn.evaluate", "left_in_eval"),
    ("train_a_cnn.evaluate", "recorded"),
    ("train_a_cnn.evaluate", "means_of_batches"),
    ("train_a_cnn.train_epoch", "no_zero_grad"),
    ("train_a_cnn.train_epoch", "in_eval"),
    ("train_a_cnn.train_epoch", "last_batch_dropped"),
    ("regularisation.ridge", "a"),
    ("regularisation.l2_penalty", "norm"),
    ("regularisation.l2_penalty", "half"),
    ("regularisation.weight_decay", "no_two"),
    ("regularisation.l2_in_adam", "b"),
    ("regularisation.soft_threshold", "hard"),
    ("regularisation.decoupled_step", "coupled"),
    ("regularisation.early_stopping", "than_the_last"),
    ("regularisation.early_stopping", "nan_is_better"),
    ("regularisation.train_and_restore", "reference"),
    ("regularisation.clip_by_norm", "each_by_its_own"),
    ("regularisation.ensemble", "arithmetic"),
    ("curves.diagnose", "overfitting_first"),
    ("curves.diagnose", "slow_is_underfitting"),
    ("curves.diagnose", "last_epoch"),
    ("curves.diagnose", "percent"),
    ("curves.diagnose", "leakage_ignored"),
    ("curves.diagnose", "losses_compared"),
    ("curves.smooth", "centred"),
    ("curves.best_epoch", "nan_first"),
    ("curves.ceiling", "product"),
    ("second_order.steepest", "a"),
    ("second_order.hvp", "no_graph"),
    ("second_order.newton_step", "whole_matrix"),
    ("second_order.newton_at_a_saddle", "b"),
    ("second_order.saddles_proven", "a"),
    ("second_order.conjugate_gradients", "steepest_descent"),
    ("second_order.lbfgs_direction", "oldest_first"),
    ("search_basics.lenet_epochs", "source"),
    ("search_basics.grid_cost", "end_left_out"),
    ("search_basics.real_at", "mixed_logarithms"),
    ("search_basics.real_at", "log_ignored"),
    ("search_basics.integer_at", "end_left_out"),
    ("search_basics.around_lenet", "a"),
    ("search_basics.dimension", "a"),
    ("search_basics.best_so_far", "highest"),
    ("search_basics.select", "test_chooses"),
    ("pso.targets", "iteration_best"),
    ("pso.fly", "iteration_best"),
    ("pso.fly_one_by_one", "iteration_best"),
    ("pso.step", "stale_velocity"),
    ("pso.fly", "stale_velocity"),
    ("pso.fly", "velocity_not_kept"),
    ("pso.step", "no_limit"),
    ("pso.fly", "no_limit"),
    ("pso.velocity", "same_number"),
    ("pso.on_integers", "rounded_in_the_swarm"),
    ("bilevel_toy.fixed_weights", "b"),
    ("bilevel_toy.gradient_by_hand", "no_two"),
    ("bilevel_toy.unrolled_gradient", "detached"),
    ("bilevel_toy.unrolled_gradient", "first_order"),
    ("bilevel_toy.unrolled_gradient", "indirect_sign"),
    ("bilevel_toy.unrolled_gradient", "no_two"),
    ("bilevel_toy.alternation", "old_values"),
    ("bilevel_toy.alternation", "a_on_the_train_loss"),
    ("bilevel_toy.alternation", "w_on_the_validation_loss"),
    ("bilevel_toy.alternation", "xi_is_the_rate"),
    ("bilevel_toy.limit", "first_order"),
    ("bilevel_toy.mixture_gradient", "detached"),
    ("bilevel_toy.one_picture", "a"),
    ("complexity.gaussian_kl", "exchanged"),
    ("complexity.gaussian_kl", "variances"),
    ("complexity.gaussian_kl", "no_minus_half"),
    ("complexity.weights_kl", "mean"),
    ("complexity.batch_free_energy", "minus_kl"),
    ("complexity.batch_free_energy", "kl_scaled"),
    ("complexity.local_outputs", "squared_means"),
    ("complexity.one_weight", "nats"),
    ("complexity.needed_units", "upside_down"),
    ("complexity.needed_units", "incoming_alone"),
    ("complexity.independent_terms", "a"),
    ("complexity.what_was_tested", "d"),
    ("hypergradients.ridge_hypergradient", "sign"),
    ("hypergradients.ridge_hypergradient", "half"),
    ("hypergradients.ridge_hypergradient", "detached"),
    ("hypergradients.ridge_hypergradient", "validation_hessian"),
    ("hypergradients.mixed_derivative", "minus"),
    ("hypergradients.mixed_derivative", "no_exp"),
    ("hypergradients.mixed_derivative", "no_two"),
    ("hypergradients.implicit_hypergradient", "sign"),
    ("hypergradients.implicit_hypergradient", "transposed"),
    ("hypergradients.implicit_hypergradient", "detached"),
    ("hypergradients.penalty_hypergradient", "direct_forgotten"),
    ("hypergradients.solve_by_cg", "start_not_subtracted"),
    ("hypergradients.solve_by_neumann", "not_scaled"),
    ("hypergradients.fixed_point", "transposed_A"),
    ("hypergradients.unrolled_step", "detached"),
    ("hypergradients.unrolled_step", "xi_forgotten"),
    ("hypergradients.finite_difference", "xi_forgotten"),
    ("hypergradients.finite_difference", "eps_multiplied"),
    ("hypergradients.finite_difference", "not_halved"),
    ("hypergradients.finite_difference", "not_restored"),
    ("hypergradients.reverse_mode", "forwards"),
    ("hypergradients.reverse_mode", "plus"),
    ("hypergradients.truncated_reverse", "transposed_A"),
    ("hypergradients.truncated_reverse", "first_steps"),
    ("mixed_edge.edge_weights", "over_edges"),
    ("mixed_edge.edge_weights", "none_outside"),
    ("mixed_edge.mixed_output", "not_normalised"),
    ("mixed_edge.mixed_output", "relu"),
    ("mixed_edge.alpha_gradient", "no_mean"),
    ("mixed_edge.average_pool", "padding_counted"),
    ("mixed_edge.operation_costs", "skip_is_free"),
    ("mixed_edge.mixed_cell", "over_edges"),
    ("mixed_edge.mixed_cell", "node_weights"),
    ("mixed_edge.mixed_cell", "nodes_added"),
    ("mixed_edge.edges_that_halve", "all"),
    ("derive_cell.best_operations", "none_chosen"),
    ("derive_cell.best_operations", "none_before"),
    ("derive_cell.strongest_inputs", "short_offsets"),
    ("derive_cell.strongest_inputs", "three"),
    ("derive_cell.derive_genes", "over_edges"),
    ("derive_cell.derive_genes", "by_mean"),
    ("derive_cell.gene_parameters", "every_skip_halves"),
    ("derive_cell.discretisation_gap", "still_weighted"),
    ("derive_cell.kendall_tau", "all_pairs"),
    ("derive_cell.drop_path", "not_rescaled"),
    ("darts_step.halves", "all_for_w"),
    ("darts_step.halves", "one_shared"),
    ("darts_step.mixed_loss", "over_edges"),
    ("darts_step.first_order", "on_training_data"),
    ("darts_step.virtual_step", "no_momentum"),
    ("darts_step.virtual_step", "no_decay"),
    ("darts_step.unrolled_gradient", "detached"),
    ("darts_step.two_parts", "sign"),
    ("darts_step.two_parts", "xi_forgotten"),
    ("darts_step.two_parts", "v_at_w"),
    ("darts_step.two_parts", "direct_at_w"),
    ("darts_step.difference", "eps_times"),
    ("darts_step.difference", "no_two"),
    ("darts_step.difference", "eps_constant"),
    ("darts_step.difference", "not_restored"),
    ("darts_step.difference_gradient", "eps_times"),
    ("darts_step.difference_gradient", "not_restored"),
    ("darts_step.search_step", "alpha_on_training_data"),
    ("darts_step.search_step", "w_on_validation_data"),
    ("darts_step.search_step", "alpha_clipped"),
    ("darts_step.search_loop", "one_adam"),
    ("darts_step.search_loop", "count_shared"),
    ("darts_step.search_loop", "alpha_on_training_data"),
    ("diagnose_collapse.strengths_by_epoch", "over_edges"),
    ("diagnose_collapse.strengths_by_epoch", "raw"),
    ("diagnose_collapse.weight_free_counts", "both_cells"),
    ("diagnose_collapse.weight_free_counts", "none_counted"),
    ("diagnose_collapse.weight_free_counts", "none_outside"),
    ("diagnose_collapse.weight_free_counts", "over_edges"),
    ("diagnose_collapse.stop_by_count", "more_than"),
    ("diagnose_collapse.stop_by_count", "first_epochs"),
    ("diagnose_collapse.stop_by_count", "next"),
    ("diagnose_collapse.largest_eigenvalue", "no_shift"),
    ("diagnose_collapse.largest_eigenvalue", "absolute"),
    ("diagnose_collapse.largest_eigenvalue", "not_normalised"),
    ("diagnose_collapse.eigenvalue_stop", "into_the_future"),
    ("diagnose_collapse.eigenvalue_stop", "cell_at_the_stop"),
    ("diagnose_collapse.eigenvalue_stop", "next"),
    ("diagnose_collapse.eigenvalue_stop", "upside_down"),
    ("diagnose_collapse.relied_on", "not_trained_longer"),
    ("diagnose_collapse.rank_correlation", "first_come"),
    ("diagnose_collapse.rank_correlation", "values"),
    ("diagnose_collapse.name_the_limit", "gap_turned"),
    ("diagnose_collapse.regrets", "relative"),
    ("diagnose_collapse.regrets", "best_run"),
    ("diagnose_collapse.paired_interval", "unpaired"),
    ("diagnose_collapse.paired_interval", "population"),
    ("diagnose_collapse.paired_interval", "no_root_of_n"),
]


@pytest.mark.parametrize(("name", "mistake"), PROMISED)
def test_the_promised_mistakes_are_declared(name: str, mistake: str):
    exercise, _, question = name.partition(".")
    declared = [known.name for known in load(exercise)[question].mistakes]
    assert mistake in declared


class LyingTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return torch.tensor(True)


class LyingArray(np.ndarray):
    def __array_function__(self, func, types, args, kwargs):
        return True

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return True


class LyingFloat(float):
    def __eq__(self, other):
        return True

    __hash__ = float.__hash__

    def __sub__(self, other):
        return 0.0

    __rsub__ = __sub__


class LyingInt(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__

    def __sub__(self, other):
        return 0

    __rsub__ = __sub__


class LyingText(str):
    def __eq__(self, other):
        return True

    __hash__ = str.__hash__

    def strip(self, *args):
        return self

    lower = strip


class LyingModule(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def parameters(self, recurse=True):
        return map(lying, self.model.parameters())

    def forward(self, X):
        return lying(self.model(X))


class LyingOptimizer(torch.optim.Optimizer):
    def __init__(self, optimizer):
        self.param_groups = optimizer.param_groups

    def step(self):
        for p in (p for group in self.param_groups for p in group["params"]):
            p.data = lying(p.data)


def lying(value):
    """The shape of a right result, with wrong numbers that claim to be right."""
    if isinstance(value, torch.Tensor):
        return torch.full_like(value, 0.123).as_subclass(LyingTensor)
    if isinstance(value, np.ndarray):
        return np.full_like(value, 0.123).view(LyingArray)
    if isinstance(value, Iterator):
        return map(lying, value)
    if isinstance(value, torch.nn.Module):
        return LyingModule(value)
    if isinstance(value, torch.optim.Optimizer):
        return LyingOptimizer(value)
    if isinstance(value, float):
        return LyingFloat(0.123)
    if isinstance(value, bool):
        return LyingInt(not value)
    if type(value) is int:
        return LyingInt(value + 123)
    if isinstance(value, str):
        return LyingText("untrue")
    if isinstance(value, dict):
        return {key: lying(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(lying(item) for item in value)
    if callable(value):
        return lambda *args: lying(value(*args))
    return value


@pytest.mark.parametrize("question", FUNCTIONS)
def test_objects_that_lie_get_no_marks(question: Question):
    def liar(*args):
        return lying(question.reference(*args))

    assert Judge(question, [SEEDS[0]])(liar).status in ("failed", "error")


def test_the_graders_inputs_are_not_the_notebooks():
    notebook = pytest.importorskip("mlcourse.checks.notebook")
    engine = pytest.importorskip("mlcourse.grading.engine")
    for secret in (b"", b"0", bytes(32)):
        for name in EXERCISES:
            for question in load(name).questions:
                drawn = engine.seeds(secret, name, question.name)
                assert len(set(drawn)) == len(drawn) >= 2
                assert not set(drawn) & set(notebook.SEEDS)


@pytest.mark.parametrize("name", EXERCISES)
def test_exercises_are_whole(name: str):
    exercise = load(name)
    assert exercise.name == name
    assert [question.name for question in exercise.questions if question.kind == "text"]
    assert {"data", "plotting"} <= set(exercise.imports) <= {"data", "plotting", "witness"}
    for question in exercise.questions:
        assert exercise[question.name] is question


def test_an_unknown_exercise_is_one_sentence_with_the_known_ones():
    with pytest.raises(ValueError, match="by_hand, four_ways"):
        load("by_foot")
