from components.image_example_gen.ingestion.tally import Tally


def test_sum_describes_images_that_are_not_used():
    both = Tally(20, {'truncated': 2, 'empty': 1}, duplicates=1, between=2)
    both += Tally(5, {'empty': 3}, duplicates=1)

    assert both == Tally(25, {'empty': 4, 'truncated': 2}, duplicates=2, between=2)
    assert both.used == 15
    assert both.clauses() == [
        '6 quarantined (4 empty, 2 truncated)',
        '2 duplicates skipped',
        '2 skipped (near-duplicates in two splits)',
    ]
