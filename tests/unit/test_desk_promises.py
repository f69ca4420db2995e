"""The table of what is promised about alerts, tickets and the counter, and which test shows it.

It cannot rot: a test that is renamed or removed is missed here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[1]

SHOWN_BY: Final[dict[str, tuple[str, ...]]] = {
    "1. Eight writers with shuffled duplicates leave the tables of one writer in order": (
        "integration/alerts/test_writers.py::"
        "test_eight_writers_with_shuffled_duplicates_leave_what_one_writer_leaves",
    ),
    "2. The whole log again, and twenty kill -9, leave an identical checksum": (
        "integration/alerts/test_writers.py::test_the_whole_log_again_changes_no_row",
        "integration/alerts/test_writers.py::"
        "test_a_writer_killed_at_random_places_leaves_what_an_undisturbed_one_leaves",
        "integration/alerts/test_promises.py::"
        "test_twenty_writers_killed_with_signal_9_leave_the_checksum_of_an_undisturbed_one",
    ),
    "3. A drill has its own tickets, leaves live data alone, and no notice leaves it": (
        "integration/alerts/test_writers.py::"
        "test_a_drill_has_its_own_tickets_and_leaves_the_live_ones_alone",
        "integration/alerts/test_postgres_notices.py::test_no_notice_leaves_a_drill",
    ),
    "4. Of six clerks who take one ticket one has it": (
        "integration/alerts/test_writers.py::"
        "test_six_clerks_take_one_ticket_and_one_of_them_has_it",
    ),
    "5. Of two merges across exactly one happens": (
        "integration/alerts/test_writers.py::"
        "test_two_tickets_merged_into_each_other_leave_exactly_one",
    ),
    "6. Four hundred timers, four workers, one crash: four hundred reminders": (
        "integration/alerts/test_postgres_reminders.py::"
        "test_four_workers_and_one_crash_tell_four_hundred_reminders",
    ),
    "7. A stream that reconnects misses nothing under concurrent writers": (
        "unit/web/test_stream.py::"
        "test_concurrent_writers_and_reconnecting_readers_lose_and_double_nothing",
        "integration/alerts/test_postgres_ledger.py::"
        "test_a_reader_misses_nothing_under_concurrent_writers",
    ),
    "8. Late and out-of-order events give the final state of ordered ones": (
        "unit/alerts/test_incidents.py::"
        "test_an_end_that_arrives_before_its_beginning_gives_the_same_state",
        "unit/alerts/test_incidents.py::test_a_night_of_trouble_groups_alike_in_any_order",
    ),
    "9. A downstream alert before its upstream one groups as one after it": (
        "unit/alerts/test_incidents.py::test_grouping_is_the_same_in_any_order_of_arrival",
    ),
    "10. Upstream restored, three meters silent: a nested ticket, and they are not told": (
        "integration/alerts/test_promises.py::"
        "test_a_part_that_stays_dark_gets_its_own_ticket_and_is_not_told_that_light_is_back",
        "contract/alerts/settle_contract.py::"
        "test_a_part_that_stays_dark_after_restoration_is_a_nested_incident",
    ),
    "11. Whoever was told of a beginning is told of the end, others nothing": (
        "contract/alerts/notices_contract.py::"
        "test_whoever_was_told_of_the_beginning_is_told_of_the_end",
        "contract/alerts/notices_contract.py::"
        "test_what_was_muted_is_told_neither_at_its_beginning_nor_at_its_end",
    ),
    "12. A condition that survives announced work is raised with its reason": (
        "contract/alerts/settle_contract.py::"
        "test_a_condition_that_survives_announced_work_opens_its_ticket",
    ),
    "13. Worse is new again, and a restart keeps the acknowledgement": (
        "integration/alerts/test_promises.py::"
        "test_an_acknowledgement_survives_a_restart_and_ends_when_it_grows_worse",
    ),
    "14. Ten calls by three channels: one ticket, ten contacts, one notice each": (
        "integration/alerts/test_writers.py::"
        "test_ten_callers_by_three_channels_are_one_ticket_with_ten_contacts",
        "integration/alerts/test_promises.py::test_ten_callers_get_one_notice_each",
    ),
    "15. A call with a live meter: the script for the home, nobody is sent": (
        "unit/desk/test_counter.py::test_a_live_meter_and_one_call_means_look_inside_the_home",
    ),
    "16. Unmerging gives back both; a call to a merged number lands on the main one": (
        "unit/alerts/test_tickets.py::test_merge_and_unmerge_give_back_everything",
        "integration/alerts/test_promises.py::"
        "test_a_call_to_the_number_of_a_merged_ticket_lands_on_its_main_one",
    ),
    "17. A customer's hold pauses the clock, what is closed reminds nobody, zones are safe": (
        "unit/alerts/test_service.py::"
        "test_a_hold_that_the_customer_causes_pauses_and_ours_does_not",
        "contract/alerts/reminders_contract.py::test_nobody_is_reminded_of_what_is_done_or_paused",
        "integration/alerts/test_promises.py::test_a_ticket_number_belongs_to_the_sites_own_day",
    ),
    "18. A verdict changes the precision; the same verdict twice counts once": (
        "unit/desk/test_reports.py::test_verdicts_say_how_far_a_detector_can_be_trusted",
        "unit/desk/test_reports.py::test_the_same_verdict_twice_counts_once",
        "unit/alerts/test_tickets.py::test_a_verdict_is_given_once",
    ),
    "19. SAIDI, SAIFI, CAIDI, MAIFI equal those computed by hand, partly restored": (
        "unit/desk/test_outages.py::test_the_indices_equal_those_computed_by_hand",
    ),
    "20. Every state, action and role: forbidden is refused and no row changes": (
        "unit/alerts/test_tickets.py::"
        "test_every_action_at_every_state_for_every_role_does_what_the_table_says",
        "unit/web/test_api.py::test_a_forbidden_step_gets_the_possible_ones",
    ),
    "21. Two characters are found within the budget; both catalogues have the same keys": (
        "unit/desk/test_search.py::test_two_characters_are_found_within_the_budget",
        "unit/web/test_words.py::test_both_catalogues_have_the_same_keys",
    ),
    "22. A feeder out is one ticket, few notices and a quick queue": (
        "integration/alerts/test_promises.py::"
        "test_a_whole_feeder_out_is_one_ticket_few_notices_and_a_quick_queue",
    ),
}


@pytest.mark.parametrize(
    ("promise", "test"), [(p, t) for p, tests in SHOWN_BY.items() for t in tests]
)
def test_what_is_promised_is_shown_by_a_test_that_exists(promise: str, test: str) -> None:
    file, _, name = test.partition("::")
    text = (TESTS / file).read_text(encoding="utf-8")

    assert re.search(rf"^\s*(?:async )?def {re.escape(name)}\(", text, re.MULTILINE), promise
