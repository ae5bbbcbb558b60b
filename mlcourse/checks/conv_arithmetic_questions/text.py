"""The questions of `conv_arithmetic` that are answered by a number, a letter or a text."""

from __future__ import annotations

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

SIZES = (
    number(
        "padding_of_conv1",
        "The padding that keeps the size",
        2,
        (
            "Put n = 32, kernel 5 and stride 1 into your output_size and try paddings.",
            "32 + 2p - 5 + 1 = 32.",
        ),
        Mistake(
            "plus",
            3,
            "that is (k + 1) / 2, with which the map grows to 34: solve 32 + 2p - 5 + 1 = 32 for p",
        ),
        Mistake("half", 2.5, "a padding is a whole number: half of k - 1, not half of k"),
        Mistake("both_sides", 4, "4 is what both sides need together: each gets half of it"),
        Mistake("none", 0, "without padding the map shrinks to 28"),
        Mistake("one", 1, "1 is right for a 3x3 kernel: this one is 5 wide, and leaves 30"),
        Mistake("kernel", 5, "padding by the whole kernel makes the map grow to 38"),
    ),
    number(
        "padding_of_pool1",
        "The padding of a pool that halves",
        0,
        (
            "Windows of 2 that stand side by side: how many fit into 32 pixels?",
            "(32 + 2p - 2) // 2 + 1 should be 16.",
        ),
        Mistake(
            "two",
            2,
            "with padding 2 the map has 18 pixels instead of 16, and PyTorch refuses it: a pool's "
            "padding may be half of its kernel at most",
        ),
        Mistake(
            "one", 1, "with padding 1 the map has 17 pixels: windows side by side need none at all"
        ),
        Mistake("half", 0.5, "a padding is a whole number of pixels, and here none is needed"),
    ),
    choice(
        "crop_28",
        "The network on crops of 28",
        "c",
        "Follow the side: 28, conv1, pool1, conv2, pool2, conv3. What is left for pool3?",
        a=(
            "It runs: a convolutional network takes images of any size",
            "any size that is large enough for every window: here pool3's map is a single pixel, "
            "and no 2x2 window fits into it",
        ),
        b=(
            "conv3 fails, because its map is smaller than its kernel",
            "conv3 still fits, just so: its map is 5x5 and leaves 1x1. Then no 2x2 window of "
            "pool3 fits",
        ),
        c="pool3 fails, because its map is 1x1; with `ceil_mode=True` it would leave 1x1",
        d=(
            "fc4 fails, because it gets fewer than 64 numbers",
            "the network stops before: pool3's map is 1x1, and no 2x2 window fits. (With "
            "ceil_mode=True fc4 gets its 64 numbers)",
        ),
    ),
)

COUNTS = (
    number(
        "conv2_parameters",
        "The parameters of conv2",
        51_264,
        (
            "How many channels does pool1 leave? Each filter of conv2 goes through all of them.",
            "64 filters, each with 32 * 5 * 5 weights and a bias.",
        ),
        Mistake(
            "input_channels_forgotten",
            1_664,
            "that is 64*(5*5+1): the input channels are forgotten. A filter goes through all 32 "
            "maps that pool1 leaves",
        ),
        Mistake(
            "image_channels_added",
            56_064,
            "56,064 would be right for 35 input channels, the 32 maps of pool1 and the 3 of the "
            "image: conv2 sees the maps alone",
        ),
        Mistake("no_biases", 51_200, "the biases are missing: each filter has one"),
        Mistake("nothing_but_kernels", 1_600, "the input channels are missing, and the biases"),
        Mistake("one_bias", 51_201, "each of the 64 filters has its own bias, not one for all"),
        Mistake("bias_for_each_input", 51_232, "a bias for each *filter*, not each input channel"),
        Mistake(
            "image_channels",
            4_864,
            "you count the 3 channels of the image: the input of conv2 is what pool1 leaves",
        ),
        Mistake("one_filter", 801, "that is one filter: there are 64"),
        Mistake("kernel_once", 10_304, "the kernel is square: 5 * 5 weights a channel, not 5"),
        Mistake("conv1", 2_432, "that is conv1: conv2 comes after pool1"),
        Mistake("conv3", 102_464, "that is conv3: it has 64 input channels, conv2 has fewer"),
        Mistake(
            "macs",
            7_372_800,
            "these are the multiply-accumulates: each parameter is counted once, however often it "
            "is used",
        ),
    ),
    choice(
        "slow_convolution",
        "The work of a convolution",
        "b",
        "Print conv_macs for conv1, and count one product for each weight of the dense layer.",
        a=(
            "The convolution, because its filters visit every position one after the other",
            "they do, but each visit is small: conv1 takes 2.5 million multiply-accumulates, the "
            "dense layer 101 million",
        ),
        b="The dense layer, with about 41 times as many multiply-accumulates",
        c=(
            "Neither: they compute the same number of outputs",
            "the number of outputs is the same, the work for each is not: 75 products in the "
            "convolution, 3,072 in the dense layer",
        ),
        d=(
            "The convolution, because it shares its weights and so cannot run in parallel",
            "sharing hinders nothing: all positions can be computed at the same time, and there "
            "are 41 times fewer multiply-accumulates in all",
        ),
    ),
    choice(
        "pooling_saves",
        "What a pool saves",
        "d",
        "Which of the two formulas has the height and the width of the input in it?",
        a=(
            "conv2 has a quarter of the parameters, because its input has a quarter of the pixels",
            "a filter's size depends on its kernel and on the channels, not on the pixels: conv2 "
            "keeps its parameters. The first dense layer's become fewer",
        ),
        b=(
            "Every later layer has a quarter of the parameters",
            "a convolution's parameters do not depend on the size of its input: of the later "
            "layers only the first dense one gets fewer",
        ),
        c=(
            "No layer's: a pool changes the work, and never the number of parameters",
            "the first dense layer has a weight for each number of the map that it gets: there a "
            "pool saves parameters",
        ),
        d="Only the first dense layer's: conv2 and conv3 keep theirs",
    ),
)

NETWORK = (
    number(
        "total_parameters",
        "All parameters",
        231_170,
        (
            "Sum the second column of the table.",
            "Check the shapes: conv2 and conv3 have no padding, so fc4 sees 1 * 1 * 64 numbers.",
        ),
        Mistake(
            "image_channels_added",
            235_970,
            "that is 4,800 too many: it counts conv2 with 56,064 parameters, as if it saw the "
            "image's 3 channels besides the 32 maps of pool1",
        ),
        Mistake(
            "same_padding",
            1_191_170,
            "that is the network with 'same' padding everywhere: here conv2 and conv3 have none, "
            "so fc4 sees 1 * 1 * 64 numbers and not 4 * 4 * 64",
        ),
        Mistake(
            "same_padding_and_image_channels",
            1_195_970,
            "conv2 and conv3 have no padding, so fc4 sees 64 numbers; and conv2 does not see the "
            "image's 3 channels",
        ),
        Mistake(
            "hundred_classes",
            321_260,
            "that is the network with 100 outputs: CIFAR-10 has ten classes, so fc5 has ten",
        ),
        Mistake(
            "hundred_classes_and_image_channels",
            326_060,
            "fc5 has ten neurons, not 100; and conv2 does not see the image's 3 channels",
        ),
        Mistake("no_biases", 230_000, "the biases are missing: one a filter, one a neuron"),
        Mistake("no_conv_biases", 231_010, "the biases of the convolutions are missing"),
        Mistake("no_dense_biases", 230_160, "the biases of the two dense layers are missing"),
        Mistake(
            "input_channels_forgotten",
            79_170,
            "the input channels of the convolutions are forgotten, as in 64*(5*5+1): a filter "
            "goes through all channels of its input",
        ),
        Mistake("conv_alone", 156_160, "these are the convolutions: add the dense layers"),
        Mistake("dense_alone", 75_010, "these are the dense layers: add the convolutions"),
        Mistake("without_fc5", 221_160, "fc5 is missing: it has parameters like fc4"),
    ),
    number(
        "in_convolutions",
        "The parameters of the convolutions",
        156_160,
        ("Sum the rows of conv1, conv2 and conv3.",),
        Mistake(
            "image_channels_added",
            160_960,
            "that counts conv2 with 56,064 parameters, as if it saw the image's 3 channels besides "
            "the 32 maps of pool1",
        ),
        Mistake(
            "dense",
            75_010,
            "these are the dense layers', the smaller part: here the convolutions hold two thirds",
        ),
        Mistake("all", 231_170, "these are all parameters: leave fc4 and fc5 out"),
        Mistake(
            "input_channels_forgotten",
            4_160,
            "the input channels are forgotten, as in 64*(5*5+1): a filter goes through all "
            "channels of its input",
        ),
        Mistake("no_biases", 156_000, "the biases are missing: each filter has one"),
        Mistake("conv2_and_conv3", 153_728, "conv1 is missing"),
        Mistake("conv1_and_conv2", 53_696, "conv3 is missing"),
        Mistake("with_fc4", 221_160, "fc4 is a dense layer: sum conv1, conv2 and conv3 alone"),
    ),
    number(
        "parameters_per_image",
        "Parameters for each training image",
        231_170 / 50_000,
        ("Divide the total by the number of training images.",),
        Mistake(
            "image_channels_added",
            235_970 / 50_000,
            "the total is 4,800 too high: conv2 does not see the image's 3 channels",
        ),
        Mistake(
            "same_padding",
            1_191_170 / 50_000,
            "that is the network with 'same' padding everywhere: conv2 and conv3 have none here",
        ),
        Mistake(
            "inverse",
            50_000 / 231_170,
            "that is images for each parameter: divide the other way round",
        ),
        Mistake(
            "test_images",
            231_170 / 60_000,
            "60,000 includes the test images: nothing is learned from those",
        ),
        Mistake(
            "numbers",
            231_170 / (50_000 * 3_072),
            "you divide by the numbers in all images: divide by the images",
        ),
    ),
    number(
        "bag_of_words",
        "A bag of words and an SVM",
        138_010,
        (
            "k-means finds the dictionary in the data: how many numbers does it learn?",
            "The SVM of one class has a weight for each entry of the histogram, and a bias.",
        ),
        Mistake(
            "dictionary_forgotten",
            10_010,
            "the dictionary is learned too: k-means finds 1000 words of 128 numbers in the "
            "training data",
        ),
        Mistake(
            "nothing",
            0,
            "both parts are learned: k-means finds the words in the data, and each SVM its weights",
        ),
        Mistake("svm_forgotten", 128_000, "that is the dictionary: add the SVM's weights"),
        Mistake(
            "weights_of_a_descriptor",
            129,
            "an SVM does not see a descriptor of 128 numbers, it sees the histogram of 1000 "
            "counts; there is one SVM a class; and the dictionary is learned too",
        ),
        Mistake(
            "one_svm",
            1_001,
            "that is the SVM of one class: there are ten, and the dictionary is learned too",
        ),
        Mistake(
            "one_svm_and_dictionary",
            129_001,
            "there is one SVM for each of the ten classes, one against the rest",
        ),
        Mistake("no_biases", 138_000, "the biases of the ten SVMs are missing"),
        Mistake(
            "descriptors",
            129_290,
            "the SVM sees the histogram of 1000 counts, not a descriptor of 128 numbers",
        ),
    ),
)

FIELDS = (
    choice(
        "shifted_image",
        "A shifted image",
        "a",
        "Write the convolution at position x, and put an image that is shifted by 1 into it.",
        a="It is shifted by one pixel too: a convolution is equivariant",
        b=(
            "It stays as it is: a convolution is invariant",
            "it does not stay in place: the map moves with the image, which is called "
            "equivariance. Invariance means that nothing changes",
        ),
        c=(
            "It becomes another one altogether, because every weight meets another pixel",
            "the weights are shared: what a filter found at one place it finds again one pixel "
            "further, so the map moves with the image",
        ),
        d=(
            "It is shifted only if the training set had shifted images",
            "no training is needed for it: all positions share their weights, so the map moves "
            "with the image whatever the weights are",
        ),
    ),
    number(
        "two_convolutions",
        "Two convolutions in a row",
        9,
        (
            "One number of the second map sees 5x5 numbers of the first. Which pixels does the "
            "leftmost of them see, and which the rightmost?",
            "The windows of neighbours overlap in all but one column.",
        ),
        Mistake(
            "kernel_times_depth",
            10,
            "that is kernel * depth: the windows of the first layer overlap, so the second one "
            "adds 4 pixels and not 5",
        ),
        Mistake(
            "kernel_times_depth_plus_bias",
            11,
            "that is kernel * depth + bias: a bias sees no pixel, and the windows overlap, so the "
            "second layer adds 4 pixels and not 5",
        ),
        Mistake("one_layer", 5, "that is one layer: the second sees 5 neighbours of its map"),
        Mistake("started_at_zero", 8, "each adds 4 pixels, to the 1 that you start with"),
        Mistake("multiplied", 25, "the kernels do not multiply: the second layer adds 4 pixels"),
        Mistake("one_more", 6, "the second layer sees 5 neighbours: its ends are 4 pixels apart"),
    ),
)

FAR_LAYERS = (
    number(
        "conv3_sees",
        "What conv3 sees",
        32,
        (
            "Five layers: conv1, pool1, conv2, pool2, conv3. The pools count too.",
            "After pool1 neighbours are 2 pixels apart, after pool2 4.",
        ),
        Mistake(
            "strides_forgotten",
            15,
            "15 counts no stride (and is kernel * depth as well): after pool1 neighbours are 2 "
            "pixels apart, after pool2 4",
        ),
        Mistake(
            "pools_left_out",
            13,
            "that is three convolutions in a row: the pools widen the field, and even more their "
            "strides",
        ),
        Mistake(
            "pool_windows_left_out",
            29,
            "the strides are right, but the pools' own windows are missing: each adds 1 times the "
            "strides before it",
        ),
        Mistake(
            "own_stride",
            35,
            "a pool's own stride is counted in its growth: only the strides of the layers before "
            "it widen its window",
        ),
        Mistake(
            "stride_before_alone",
            23,
            "the strides multiply: after pool2 neighbours are 4 pixels apart, not 2",
        ),
        Mistake("started_at_zero", 31, "one is missing: without any layer one pixel is seen"),
        Mistake("pool3", 36, "that is pool3, one layer further: it is asked before it"),
        Mistake("pool2", 16, "that is pool2, one layer before (and 3 * 5 + 1): add conv3's own"),
        Mistake("conv2", 14, "that is conv2: pool2 and conv3 follow"),
        Mistake("kernels_added", 19, "you add the kernels: each layer adds (k - 1) * strides"),
    ),
    choice(
        "effective_field",
        "Which pixels count",
        "c",
        "Count the ways from a pixel through the two layers to the output: for the pixel in the "
        "middle, and for one in the corner.",
        a=(
            "All pixels of the field alike",
            "a corner pixel reaches the output in one way, one in the middle in many: before "
            "training the influence falls off like a bell",
        ),
        b=(
            "Those at the border, because the newest layer adds them",
            "a border pixel has few ways to the output, one in the middle has many: the middle "
            "counts most",
        ),
        c="Those in the middle: many more paths lead from them to the output",
        d=(
            "Pixels outside of it, because of the bias",
            "nothing outside of the theoretical field has any influence, and a bias sees no pixel: "
            "inside, the middle counts most",
        ),
    ),
)

DENSE = (
    choice(
        "larger_image",
        "A larger image",
        "b",
        "Which layers have a size that depends on the image?",
        a=(
            "conv1 fails: its filters were learned for 32x32",
            "a filter has no image size: it slides as far as there are pixels. The first layer "
            "that expects a fixed number of inputs is fc4",
        ),
        b="All convolutions and pools run and leave a larger map, then fc4 fails",
        c=(
            "Everything runs, since the network cuts the image into windows of 32x32",
            "no layer cuts anything: the convolutions run over the whole image, and fc4 fails, "
            "because it gets 1,600 numbers where it has weights for 64",
        ),
        d=(
            "Everything runs, and the ten outputs are as before",
            "fc4 has weights for 64 numbers and gets 5 * 5 * 64: it fails",
        ),
    ),
    choice(
        "all_at_once",
        "A larger image, once more",
        "d",
        "Print the shape that slide_dense gave. How often did conv2d run?",
        a=(
            "The image must be cut into windows of 32x32, which go through one by one",
            "that is not needed: the whole image goes through once, and overlapping windows share "
            "what they have in common. The result is a map of outputs",
        ),
        b=(
            "It gives one output, the mean over all windows",
            "nothing takes a mean: each position has its output, so the result is a map (which one "
            "may average afterwards)",
        ),
        c=(
            "It gives one output, that of the window in the middle",
            "the 1x1 filters run at every position of the 5x5 map: the result is a map of outputs",
        ),
        d="One pass gives a map of 5x5 outputs, which share their computation",
    ),
)

EXPERIMENT = (
    Question(
        name="explain_map",
        title="Explain the map",
        points=2,
        kind="text",
    ),
    Question(
        name="explain_sharing",
        title="Explain the sharing",
        points=2,
        kind="text",
    ),
)
