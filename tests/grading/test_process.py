"""The trusted side of a worker: sessions, remote objects, limits, messages."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np
import pytest
import torch

from mlcourse import data
from mlcourse.checks.judge import AnswerError, ForbiddenUse, Stopped, beside
from mlcourse.grading.process import CellStopped, Limits, MissingName, Remote, Worker

LIMITS = Limits(seconds=60.0, memory_mb=1024, output_bytes=2000, reply_bytes=1_000_000)


@pytest.fixture(scope="module")
def worker():
    with Worker(imports=("data",), limits=LIMITS, sandbox="none") as worker:
        yield worker


def test_cells_run_in_order_and_later_ones_after_an_error(worker):
    cells = ["a = 1", "b = a + 1\n1 / 0\nc = 3", "d = b + 1", "def broken(:"]
    with worker.session(cells) as session:
        assert session.get("d") == 3
        assert [(index, kind) for index, kind, _ in session.cell_errors] == [
            (1, "ZeroDivisionError"),
            (3, "SyntaxError"),
        ]
        with pytest.raises(MissingName, match="there is no 'c'"):
            session.get("c")


def test_temporary_files_and_source_code_are_there_as_in_a_notebook(worker):
    cell = (
        "import inspect, tempfile\ndef f(): return 1\nsource = inspect.getsource(f)\n"
        "with tempfile.NamedTemporaryFile() as file: written = file.write(b'x')"
    )
    with worker.session([cell]) as session:
        assert session.cell_errors == []
        assert session.get("source") == "def f(): return 1\n"
        assert session.get("written") == 1


def test_values_come_back_and_functions_stay(worker):
    with worker.session(
        ["x = [1, (2.5, None)]\ndef f(a, b=1):\n    return {'r': a * b}"]
    ) as session:
        assert session.get("x") == [1, (2.5, None)]
        function = session.get("f")
        assert isinstance(function, Remote)
        assert type(function).__name__ == "function"
        assert torch.equal(function(torch.ones(2), b=3)["r"], torch.tensor([3.0, 3.0]))


def test_objects_are_used_through_handles(worker):
    cell = (
        "import torch\ndef make():\n    return torch.nn.Linear(2, 1)\n"
        "def optimiser(net):\n    return torch.optim.SGD(net.parameters(), lr=0.5)\n"
        "def step(net, opt, x):\n    opt.zero_grad(); net(x).sum().backward(); opt.step()\n"
        "    return net.weight"
    )
    with worker.session([cell]) as session:
        net = session.get("make")()
        optimiser = session.get("optimiser")(net)
        before = net.weight
        after = session.get("step")(net, optimiser, torch.ones(1, 2))
        assert torch.allclose(after, before - 0.5)
        assert torch.equal(net.weight, after)
        assert [tuple(p.shape) for p in net.parameters()] == [(1, 2), (1,)]
        assert net(torch.zeros(3, 2)).shape == (3, 1)


def test_the_callers_arguments_change_as_they_would_locally(worker):
    cell = (
        "def f(params, x, array, items, generator):\n"
        "    import torch\n"
        "    params['W'] -= 1\n    params['new'] = x\n    del params['old']\n"
        "    x *= 2\n    array += 1\n    items.append(3)\n"
        "    return torch.rand(2, generator=generator)"
    )
    with worker.session([cell]) as session:
        weight, x, array = torch.ones(2), torch.ones(3), np.ones(2)
        params, items = {"W": weight, "old": torch.ones(1)}, [1]
        generator = torch.Generator().manual_seed(5)
        drawn = session.get("f")(params, x, array, items, generator)
        assert params["W"] is weight
        assert weight.tolist() == [0.0, 0.0]
        assert params.keys() == {"W", "new"}
        assert x.tolist() == [2.0, 2.0, 2.0]
        assert array.tolist() == [2.0, 2.0]
        assert items == [1, 3]
        twin = torch.Generator().manual_seed(5)
        assert torch.equal(drawn, torch.rand(2, generator=twin))
        assert torch.equal(generator.get_state(), twin.get_state())


def test_gradients_that_an_answer_leaves_behind_come_back(worker):
    with worker.session(["def f(w, x):\n    (w * x).sum().backward()"]) as session:
        weight = torch.ones(2, requires_grad=True)
        assert session.get("f")(weight, torch.tensor([2.0, 3.0])) is None
        assert weight.grad.tolist() == [2.0, 3.0]


def test_errors_are_one_line_without_addresses_and_paths(worker):
    cell = (
        "def f():\n    raise ValueError('bad ' + object.__repr__(f) + ' in /home/ada/x.py\\nmore')"
    )
    with worker.session([cell]) as session, pytest.raises(AnswerError) as error:
        session.get("f")()
    assert error.value.kind == "ValueError"
    for private in ("0x7", "/home", "\n", "more"):
        assert private not in error.value.text


def test_traps_hold_while_they_last(worker):
    cell = (
        "import torch\ndef f(x):\n    x.requires_grad_()\n    try:\n"
        "        return torch.autograd.grad(x.sum(), x)[0]\n    except Exception:\n        return x"
    )
    with worker.session([cell]) as session:
        f = session.get("f")
        with session.traps(["torch.autograd.grad"]), pytest.raises(ForbiddenUse) as use:
            f(torch.zeros(2))
        assert use.value.name == "torch.autograd.grad"
        assert f(torch.zeros(2)).tolist() == [1.0, 1.0]


def test_random_numbers_start_anew_with_each_question(worker):
    cell = "import torch, random\nimport numpy as np\ndef f():\n"
    cell += "    return torch.rand(1).item(), random.random(), np.random.rand()"
    with worker.session([cell]) as session:
        first, second = session.get("f")(), session.get("f")()
        session.renew()
        assert session.get("f")() == first != second
    with worker.session([cell, "torch.rand(3)"]) as session:
        session.renew()
        assert session.get("f")() == first


def test_a_timeout_stops_one_session_only(worker):
    cells = ["def f():\n    while True: pass"]
    session = worker.session(cells)
    session.renew(0.3)
    with pytest.raises(Stopped, match=r"^stopped after 0.3 s$") as stop:
        session.get("f")()
    assert stop.value.status == "timeout"
    with pytest.raises(Stopped):
        session.get("f")
    with worker.session(["x = 1"]) as other:
        assert other.get("x") == 1


def test_a_cell_that_never_ends_is_named(worker):
    with pytest.raises(CellStopped) as stop:
        worker.session(["x = 1", "while True: pass", "y = 2"], seconds=0.3)
    assert (stop.value.cell, stop.value.status) == (1, "timeout")


def test_memory_output_and_results_are_bounded(worker):
    cell = (
        "import torch\ndef hog():\n    return torch.ones(10**10)\n"
        "def spam():\n    for _ in range(10**6): print('spam')\n"
        "def large():\n    return [0.5] * 10**6\ndef fine():\n    print('hello'); return 1"
    )
    for name, status, message in [
        ("hog", "memory", "used more than 1024 MB of memory"),
        ("spam", "error", "printed more than 2 kB"),
        ("large", "error", "gave a result larger than 1 MB"),
    ]:
        with worker.session([cell]) as session:
            with pytest.raises(Stopped) as stop:
                session.get(name)()
            assert (stop.value.status, str(stop.value)) == (status, message)
    with worker.session([cell]) as session:
        assert session.get("fine")() == 1
        assert session.output == "hello\n"


def test_processor_time_is_bounded():
    limits, cells = Limits(seconds=60.0, cpu_seconds=1), ["def f():\n    while True: pass"]
    with Worker(limits=limits, sandbox="none") as worker, worker.session(cells) as session:
        function = session.get("f")
        with pytest.raises(Stopped) as stop:
            function()
    assert (stop.value.status, str(stop.value)) == (
        "timeout",
        "used more than 1 s of processor time",
    )


def test_only_allowed_course_modules_are_served(worker):
    cells = [
        "from mlcourse import check, data, hint",
        "from mlcourse import mlp",
        "check('a.b', 1)",
    ]
    with worker.session([*cells, "n = data.circles(n_train=3).X_train.shape[0]"]) as session:
        assert session.get("n") == 3
        assert session.imported_forbidden == ["mlcourse.mlp"]
        assert session.cell_errors == [
            (1, "ImportError", "mlcourse.mlp cannot be imported in this exercise")
        ]


def test_functions_of_served_modules_are_found_beside_an_answer(worker):
    cell = "from mlcourse import data\ndef first(split): return split[0]"
    with worker.session([cell]) as session:
        first = session.get("first")
        circles = beside(first, "data", "circles")
        assert isinstance(circles, Remote)
        split = circles(n_train=4, seed=3)  # plain data, or a handle: it goes back as it came
        assert torch.equal(first(split), data.circles(n_train=4, seed=3).X_train)
        with pytest.raises(AnswerError, match="cannot be imported in this exercise"):
            beside(first, "mlp", "forward")
        with pytest.raises(AnswerError, match="nothing"):
            beside(first, "data", "nothing")


def test_beside_a_function_of_this_process_is_this_process():
    assert beside(lambda: 1, "data", "circles") is data.circles


def test_a_module_that_the_course_lacks_is_the_authors_mistake():
    with pytest.raises(ValueError, match=r"mlcourse\.nothing"):
        Worker(imports=("nothing",), sandbox="none")


def test_arguments_that_are_no_data_are_refused_here(worker):
    with (
        worker.session(["def f(x): return x"]) as session,
        pytest.raises(TypeError, match="not data"),
    ):
        session.get("f")(lambda: 1)


def test_a_killed_worker_is_replaced():
    with Worker(sandbox="none") as worker:
        worker.zygote.process.kill()
        worker.zygote.process.wait()
        with worker.session(["x = 2"]) as session:
            assert session.get("x") == 2


def test_nothing_is_left_behind():
    with Worker(sandbox="none") as worker:
        base, process = worker.base, worker.zygote.process
        worker.session(["open('file', 'w').write('x')\nimport os; os.makedirs('a/b/c')"]).close()
        assert base.exists()
    assert not base.exists()
    assert process.poll() is not None


def test_two_threads_can_each_have_a_worker():
    found = []

    def work(number):
        with Worker(sandbox="none") as worker, worker.session([f"x = {number}"]) as session:
            found.append(session.get("x"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1]


@pytest.mark.skipif(sys.platform == "win32", reason="the fork is compared with")
def test_a_fresh_process_for_each_session_does_the_same():
    cells = ["a = 1\ndef f(x):\n    x += a\n    return x * 2", "1 / 0"]
    with Worker(limits=LIMITS, sandbox="none", fork=False) as worker:
        with worker.session(cells) as session:
            x = torch.ones(2)
            assert session.get("f")(x).tolist() == [4.0, 4.0]
            assert x.tolist() == [2.0, 2.0]
            assert session.cell_errors == [(1, "ZeroDivisionError", "division by zero")]
        with worker.session(["import os\ndef f(): os._exit(3)"]) as session:
            function = session.get("f")
            with pytest.raises(Stopped, match="exit code 3"):
                function()


def test_the_workers_environment_is_its_own(worker, monkeypatch):
    monkeypatch.setenv("MLCOURSE_TEST", "a token")
    with (
        Worker(sandbox="none") as fresh,
        fresh.session(["import os\ne = dict(os.environ)"]) as session,
    ):
        environment = session.get("e")
    assert "MLCOURSE_TEST" not in environment
    assert environment["OMP_NUM_THREADS"] == "1"
    assert os.environ["MLCOURSE_TEST"] == "a token"
