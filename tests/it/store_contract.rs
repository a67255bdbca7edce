//! What every store promises, as tests that know nothing of the backend.
//!
//! To run them on a further backend, implement [`world::Backend`] for it and give it a line of [`contract!`] below.
//! What is special to a backend (its files, its locks) is tested beside them, as in `sqlite.rs`.

mod accepting;
mod chains;
mod changing;
mod claiming;
pub(crate) mod cluster;
mod listing;
mod once;
mod postgres;
mod postgres_plans;
mod recording;
mod removing;
mod reopening;
mod runs;
mod sqlite;
mod world;

/// Runs every promise on a backend.
macro_rules! contract {
    ($name:ident: $backend:ty) => {
        contract! { @ $name: $backend;
            accepting {
                a_new_order_is_there_with_everything_it_came_with
                a_delivery_born_with_a_slot_is_handed_over_before_the_answer
                deliveries_are_handed_over_in_the_order_of_their_orders
                a_delivery_without_a_slot_or_not_yet_due_waits_and_gives_its_slot_back
                without_anybody_connected_deliveries_wait
                a_key_gets_its_first_answer_again
                a_key_whose_answer_comes_later_is_under_way_until_then
                a_key_with_another_body_is_a_mismatch
                a_replay_makes_no_delivery_and_gives_slots_back
                the_same_key_twice_at_once_is_accepted_once
                events_come_in_together_with_their_deliveries
                an_events_key_is_answered_like_an_orders
                a_caller_who_goes_away_loses_nothing
                an_order_that_is_already_there_fails_alone
            }
            chains {
                steps_and_context_are_kept_as_journaled
                an_order_ends_with_its_deliveries_and_its_answer_in_one
                an_event_keeps_the_context_of_its_time
                a_rejected_order_says_so
                a_journal_of_an_order_that_belongs_to_another_is_fenced
                a_journal_after_the_end_is_fenced
                an_interrupted_order_is_resumed_once_with_its_steps
                an_order_given_up_can_be_resumed
                orders_are_resumed_oldest_first_up_to_the_limit
                deliveries_of_every_part_of_its_way_belong_to_the_order
            }
            claiming {
                the_longest_due_is_claimed_first
                a_claim_takes_no_more_than_its_limit_and_its_bytes
                the_first_of_a_claim_may_be_larger_than_its_bytes
                first_attempts_and_retries_are_claimed_apart
                nothing_is_claimed_before_its_time_or_from_another_channel
                what_is_claimed_is_as_it_was_born
                what_a_delivery_carries_survives_claims_and_restarts
                the_text_of_a_mail_comes_with_a_claim_and_counts_but_not_with_a_list
                two_replicas_never_claim_the_same
                next_due_knows_first_attempts_and_retries_apart
                what_is_put_back_can_be_claimed_by_anybody
                only_who_holds_a_delivery_can_put_it_back
                what_a_silent_replica_held_moves_on
                the_backlog_counts_what_is_pending
            }
            once {
                a_one_off_is_had_once_by_each_channel
                of_orders_at_the_same_moment_one_has_the_one_off
                a_one_off_outlives_restarts_and_retention
                of_events_in_one_call_the_first_has_the_one_off
                what_only_fails_leaves_the_one_off_to_others
                an_order_at_its_end_may_come_too_late
                own_events_leave_out_what_was_had
            }
            runs {
                a_run_takes_the_longest_due_whatever_attempt_they_wait_for
                a_run_begins_once
                a_run_stays_on_record_and_what_it_took_waits_again
            }
            recording {
                an_attempt_is_kept_with_its_request_and_response
                a_body_around_the_order_is_whole_again
                every_end_is_a_status
                a_retry_waits_or_stays_with_its_replica
                a_group_is_answered_one_by_one
                a_result_of_another_replica_is_fenced_and_kept
                a_result_under_an_older_lease_is_fenced
                a_late_result_changes_nothing_after_a_cancel_and_a_retry
                fenced_attempts_and_those_that_count_have_numbers_of_their_own
                an_attempt_under_way_while_cancelled_counts_for_the_next_round
                a_result_for_a_delivery_that_never_was_is_fenced
                a_failure_brings_its_own_event
                a_fenced_failure_brings_no_event
            }
            changing {
                every_change_is_allowed_exactly_where_the_contract_says
                a_change_of_nothing_answers_none
                a_retry_begins_a_new_round_at_once
                a_retry_of_a_pending_delivery_is_due_in_its_round
                a_cancelled_delivery_is_not_claimed
                a_bulk_change_takes_what_the_filter_takes_and_the_change_allows
                a_bulk_change_goes_beyond_one_group
                a_dry_run_counts_and_changes_nothing
                channel_states_are_kept
                own_events_are_inserted_waiting
            }
            listing {
                lists_equal_a_naive_model
                order_lists_equal_a_naive_model
                an_order_is_found_by_either_id
                of_orders_with_one_id_the_newest_is_found
                nothing_is_found_by_an_id_that_only_looks_the_same
                a_list_of_nothing_has_no_next_page
                a_filter_that_takes_few_of_many_comes_to_an_end
            }
            removing {
                what_is_finished_and_old_goes_with_all_that_belongs_to_it
                what_is_open_or_new_stays
                removal_goes_beyond_one_group
                a_key_is_free_again_when_its_order_is_gone
                removed_events_are_counted
            }
            reopening {
                everything_is_there_after_a_stop
                what_was_answered_is_there_after_a_break
                ids_go_on_behind_the_last_one
                counts_are_right_after_a_reopening
                a_secret_stays_with_its_store
                a_closed_store_says_so
                a_store_finishes_what_was_sent_before_it_closes
                a_store_that_can_write_answers_a_ping
            }
        }
    };
    (@ $name:ident: $backend:ty; $($file:ident { $($test:ident)* })*) => {
        mod $name { $(mod $file { $(
            #[tokio::test]
            async fn $test() {
                use super::super::*;
                super::super::$file::$test(world::World::<$backend>::new()).await;
            }
        )* })* }
    };
}

contract!(on_sqlite: sqlite::Files);
contract!(on_postgres: postgres::Database);
