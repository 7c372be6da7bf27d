//! Processes that die, machines that lose power, and many processes at once.

mod crash_kill;
mod members_kill;
mod power_loss;
mod process_stress;
mod torture;

netshm_tests::children!(crash_kill, members_kill, power_loss, process_stress, torture);
