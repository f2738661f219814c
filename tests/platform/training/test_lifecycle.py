import os
import signal
import threading

import pytest

from legan.platform.training.lifecycle import end_on_request


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_one_ends(number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    before, told = signal.getsignal(number), []
    with end_on_request(lambda: told.append(1)) as asked:
        assert not asked()
        os.kill(os.getpid(), number)
        assert asked()
        assert told == [1]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    assert "stopping after this step, with a checkpoint; a second Ctrl-C ends at once" in capfd.readouterr().err


def test_a_thread_gets_no_signals_and_leaves_them_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with end_on_request() as asked:
            seen.extend([asked(), signal.getsignal(signal.SIGINT) is before])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, True]
