//! Objects: their names, who may open them, what surrounds them, members, checks and repair.

mod check_object;
mod copy_object;
mod hostile_surroundings;
mod inspect_object;
mod members_model;
mod members_object;
mod memory_object;
mod name_rules;
mod repair_object;
mod shm_common;
mod shm_open;
mod shm_origin;
mod shm_trust;
mod shm_unique;
mod system_calls;

netshm_tests::children!(
    copy_object,
    hostile_surroundings,
    inspect_object,
    members_object,
    memory_object,
    repair_object,
    shm_origin,
    system_calls
);
