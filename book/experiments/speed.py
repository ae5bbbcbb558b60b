"""How fast can it go: 90 % and 94 % test accuracy on one accelerator.

    python book/experiments/speed.py --precision bfloat16

A small residual network, one cycle of the learning rate, label smoothing, and
images cropped and flipped (and cut out) on the device. `seconds` is training
alone; a first, untimed step warms the device up. A test image is seen as it
is and mirrored. On a CPU ten epochs take about half an hour.
"""

import copy
import sys
from functools import partial

import running
import torch
from torch.nn.functional import cross_entropy

from mlcourse import augmentation, preprocessing, training
from mlcourse.convnets import MirrorAverage, small_resnet
from mlcourse.loading import Loader

#: Epochs and cut-out squares (side in pixels) for each goal.
TARGETS = {
    "90 %": {"target": 0.90, "epochs": 4, "cutout": 0},
    "94 %": {"target": 0.94, "epochs": 10, "cutout": 0},
}
COMMON = {
    "lr": 0.75,
    "momentum": 0.85,
    "weight_decay": 1.3e-3,
    "shift_lr_factor": 64,
    "batch_size": 512,
    "label_smoothing": 0.2,
    "width": 64,
}
SEEDS = (0, 1, 2, 3, 4)


def plan(options: running.Options) -> list[running.Run]:
    """Each target with each seed."""
    runs = []
    for seed in options.seeds if options.quick else SEEDS:
        for name, target in TARGETS.items():
            setting = {**COMMON, **target}
            if options.quick:
                setting |= {"epochs": 2, "width": 8, "batch_size": 32}
            if options.epochs:
                setting["epochs"] = options.epochs
            runs.append(running.Run(name, setting, seed))
    return runs


def train(run, images, options):
    """Train once, after a step that does not count."""
    training.seed_everything(run.seed)
    device = training.device()
    batches, test = loaders(run, images.to(device))
    whiten = test.preprocess(images.X_train[:5000].to(device))
    # In evaluation mode, each test image and its mirror image are averaged.
    model = MirrorAverage(
        small_resnet(width=run.setting["width"], whiten=whiten)
    )
    model.to(device, memory_format=torch.channels_last)
    learn = partial(
        training.train_model, precision=options.precision, progress=False
    )
    learn(*warm_up(model, batches), epochs=1)
    optimizer, schedule = steps(run, model, batches)
    return learn(
        model,
        batches,
        optimizer,
        epochs=run.setting["epochs"],
        loss=partial(
            cross_entropy, label_smoothing=run.setting["label_smoothing"]
        ),
        schedule=schedule,
        evaluate_on={"test": test},
        checkpoint=options.checkpoint(run),
    )


def loaders(run, images):
    """The training batches, augmented, and the test batches."""
    preprocess = preprocessing.Standardise.fit(images.X_train)
    augment = [
        partial(augmentation.random_crop, size=32, padding=2),
        augmentation.random_flip,
    ]
    if run.setting["cutout"]:
        augment.append(
            partial(augmentation.cutout, size=run.setting["cutout"])
        )
    where = images.X_train.device
    batches = Loader(
        images.X_train,
        images.y_train,
        run.setting["batch_size"],
        preprocess=preprocess,
        augment=augment,
        drop_last=True,
        generator=torch.Generator(where).manual_seed(run.seed),
    )
    test = Loader(
        images.X_test,
        images.y_test,
        2000,
        preprocess=preprocess,
        shuffle=False,
    )
    return batches, test


def warm_up(model, batches):
    """A copy and one batch: kernels are chosen, and memory is taken."""
    model = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    return model, [next(iter(batches))], optimizer


def steps(run, model, batches):
    """Nesterov's momentum, and one cycle of the learning rate.

    The shifts of batch norm learn faster and decay less, as in airbench
    (https://github.com/KellerJordan/cifar10-airbench), whose settings for
    longer trainings these are, for batches of half the size.
    """
    setting = run.setting
    shifts, weights = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (shifts if "norm" in name else weights).append(parameter)
    decay, lr = setting["weight_decay"], setting["lr"]
    faster = setting["shift_lr_factor"]
    optimizer = torch.optim.SGD(
        [
            {"params": weights, "weight_decay": decay},
            {"params": shifts, "weight_decay": decay / faster},
        ],
        lr=lr,
        momentum=setting["momentum"],
        nesterov=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[lr, lr * faster],
        total_steps=setting["epochs"] * len(batches),
        pct_start=0.25,
        anneal_strategy="linear",
        div_factor=5,
        final_div_factor=3,
        cycle_momentum=False,
    )
    return optimizer, schedule


if __name__ == "__main__":
    sys.exit(running.main("speed", plan, train))
