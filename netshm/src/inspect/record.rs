//! Locks under `Locking::Record`, which the kernel knows.

use super::{Hold, Snapshot, Wait};
use crate::os::lock::bytes;
use crate::os::proc_locks::KernelLock;

/// Adds the locks on stripes, and the waits for them, that the object's own words do not show.
pub(super) fn add(snapshot: &mut Snapshot, locks: &[KernelLock]) {
    for lock in locks {
        let Some(pid) = lock.pid else { continue };
        let stripe_of = |byte: u64| byte.saturating_sub(bytes::STRIPE).min(u64::from(u32::MAX)) as u32;
        if *lock.bytes.end() < bytes::STRIPE {
            continue;
        }
        let end = stripe_of(lock.bytes.end().saturating_add(1)).min(snapshot.stripes.len() as u32);
        for stripe in stripe_of(*lock.bytes.start())..end {
            if lock.waits {
                // Whoever waits has noted it already, unless it is another program, or sees other process ids.
                let is_noted = |wait: &Wait| wait.stripe == stripe && wait.pid == Some(pid);
                if snapshot.waits.iter().any(is_noted) {
                    break;
                }
                snapshot.waits.push(Wait { stripe, slot: None, pid: Some(pid), waited: None });
                // It waits for one after the other.
                break;
            }
            let known = snapshot.holds.iter_mut().find(|hold| hold.stripe == stripe && lock.is_exclusive);
            match known {
                Some(hold) => hold.pid = Some(pid),
                None => snapshot.holds.push(Hold {
                    stripe,
                    slot: None,
                    pid: Some(pid),
                    is_alive: true,
                    is_shared: !lock.is_exclusive,
                    held: None,
                }),
            }
        }
    }
    snapshot.holds.sort_by_key(|hold| hold.stripe);
}
