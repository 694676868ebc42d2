from hitl.views.log import fold


def test_marker_lines_begin_steps_and_count_as_lines():
    steps, following = fold("::phase clone\na\n::phase agent runbook\n$ ls\nb\n")
    assert [(step.title, [number for number, _, _ in step.lines]) for step in steps] == [("Check out the branch", [2]), ("Agent: runbook", [4, 5])]
    assert following == 6


def test_a_later_piece_goes_on_with_the_step_before_it():
    steps, following = fold("c\n::phase commit\nd\n", first_line=6)
    assert [(step.title, step.continues) for step in steps] == [("Output", True), ("Commit the work", False)]
    assert [number for step in steps for number, _, _ in step.lines] == [6, 8] and following == 9


def test_a_check_is_called_by_its_criterion():
    steps, _ = fold("::phase check 2\n", checks=[{"text": "one"}, {"text": "two <b>"}])
    assert steps[0].title == "Check 2: two <b>"


def test_a_check_without_a_known_criterion_keeps_its_number():
    assert fold("::phase check 9\n", checks=[{"text": "one"}])[0][0].title == "Check 9"


def test_failures_and_commands_are_marked():
    steps, _ = fold("$ make\nFAILED tests/test_x.py\nfine\n")
    assert [tone for _, tone, _ in steps[0].lines] == ["is-dim", "is-error", ""]


def test_the_name_of_a_step_is_free_of_escapes():
    assert fold("::phase \x1b]0;x\x07evil\x1b[31m\n")[0][0].title == "Evil"
