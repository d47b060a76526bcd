from components.image_example_gen.ingestion.tally import Tally

SOME = Tally(seen=20, bad={'truncated': 2, 'empty': 1}, duplicates=1, between=2, moved=4)


def test_describes_images_that_are_not_used_or_moved():
    assert SOME.used == 14
    assert SOME.clauses() == [
        '3 quarantined (2 truncated, 1 empty)',
        '1 duplicate skipped',
        '2 skipped (near-duplicates in two splits)',
        '4 moved to the split of a near-duplicate',
    ]
    assert Tally(seen=20).clauses() == []


def test_tallies_can_be_added():
    both = SOME + Tally(seen=5, bad={'empty': 3}, duplicates=1)

    assert both == Tally(25, {'empty': 4, 'truncated': 2}, 2, 2, 4)
    assert both.clauses()[:2] == ['6 quarantined (4 empty, 2 truncated)', '2 duplicates skipped']
