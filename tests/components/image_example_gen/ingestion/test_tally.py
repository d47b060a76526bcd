from components.image_example_gen.ingestion.tally import Tally

SOME = Tally(seen=20, bad={'truncated': 2, 'empty': 1}, duplicates=1, between=2, moved=4)


def test_images_are_used_unless_they_are_bad_or_left_out():
    assert SOME.used == 14


def test_what_became_of_the_others_is_said_in_clauses():
    assert SOME.clauses() == [
        '3 set aside (2 truncated, 1 empty)',
        '1 copy left out',
        '2 left out, with near copies in two splits',
        '4 moved, to be in one split with near copies',
    ]


def test_there_is_nothing_to_say_where_all_are_used():
    assert Tally(seen=20).clauses() == []


def test_the_images_of_two_spans_are_counted_together():
    both = SOME + Tally(seen=5, bad={'empty': 3}, duplicates=1)

    assert both == Tally(25, {'empty': 4, 'truncated': 2}, 2, 2, 4)
    assert both.clauses()[:2] == ['6 set aside (4 empty, 2 truncated)', '2 copies left out']
