"""Tests where an import of tags stands and how a list is sorted unless it is asked for."""

from engagement.model.tag_imports import ImportOrder, ImportProperty, ImportState


def test_only_the_last_two_states_are_final() -> None:
    assert [state.is_final for state in ImportState] == [False, False, True, True]


def test_a_list_is_in_the_order_of_ids_unless_it_is_asked_for() -> None:
    assert ImportOrder() == ImportOrder(by=ImportProperty.ID, descending=False)
