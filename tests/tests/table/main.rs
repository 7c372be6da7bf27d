//! Hash tables and the primitive table: their verbs against models, groups, full objects, code of users.

mod atomic_numbers;
mod full_object;
mod full_removal;
mod group_found;
mod group_only;
mod group_random;
mod group_rollback;
mod group_threads;
mod rollback_exact;
mod table_blocks;
mod table_bulk;
mod table_large;
mod table_model;
mod table_reentrancy;
mod table_trace;
mod user_code;
mod user_matrix;

netshm_tests::children!(full_object, rollback_exact, user_code, user_matrix);
