from hitl.views.graph import layout, wrap


def tickets(**after):
    return [{"id": name, "title": name, "status": "blocked", "depends_on": list(before)} for name, before in after.items()]


def places(graph):
    return {node.ticket["id"]: node.layer for node in graph.nodes}


def test_a_ticket_stands_right_of_all_that_it_waits_for():
    assert places(layout(tickets(d=["b", "c"], c=["a"], b=[], a=[]))) == {"a": 0, "b": 0, "c": 1, "d": 2}


def test_no_two_nodes_share_a_place():
    graph = layout(tickets(**{f"t{n}": [f"t{n // 3}"] if n else [] for n in range(40)}))
    assert len({(node.x, node.y) for node in graph.nodes}) == 40
    assert all(node.x + 232 <= graph.width and node.y + 64 <= graph.height for node in graph.nodes)


def test_there_is_an_edge_for_every_dependency_that_is_among_the_tickets():
    assert len(layout(tickets(a=[], b=["a", "elsewhere"], c=["a", "b"])).edges) == 3


def test_a_cycle_that_somebody_wrote_by_hand_is_drawn_all_the_same():
    assert set(places(layout(tickets(a=["b"], b=["a"], c=[])))) == {"a", "b", "c"}


def test_no_tickets_make_an_empty_drawing():
    assert layout([]).nodes == []


def test_a_long_title_takes_two_lines_and_says_that_it_is_cut():
    assert wrap("Describe the new login rules in the README and the support handbook") == ["Describe the new login rules", "in the README and the …"]


def test_a_word_that_is_too_long_is_cut():
    assert wrap("x" * 80) == ["x" * 29 + "…"]
