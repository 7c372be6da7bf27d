//! Damaged objects: whatever their bytes are, every verb ends in a value or an error, in bounded time and memory.
//!
//! A run is described by some bytes, so that a fuzzer can vary it, and a test can make it from a number:
//!
//! ```text
//! 0       which object (`objects`)
//! 1       how it is opened, and whether it is repaired or cut off in the end: see `Manner`
//! 2..5    what is done with it
//! 5..     changes of 7 bytes each: what to do (1), where (2), and with what (4)
//! ```
//!
//! Half of the changes are made by somebody who knows the layout ([`netshm::damage`]); the others change any word.

mod objects;
mod verbs;

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use netshm::damage::{settle, spoil, with_seed};
use netshm::inspect::{Inspector, KernelLocks};
use netshm::{Result, Shm, ShmName, repair};

use crate::{Directory, Random};
use objects::OBJECTS;

/// Number of kinds of objects.
pub const KINDS: usize = OBJECTS.len();
/// The name of the object in its directory.
const OBJECT: &str = "object";
/// Bytes that do not describe changes.
const FIRST: usize = 5;
/// Bytes of a change.
const CHANGE: usize = 7;
/// Changes of a run at most.
const CHANGES: usize = 8;

/// One file that takes the bytes of one damaged object after another.
#[derive(Debug)]
pub struct Damaged {
    directory: Directory,
    name: ShmName,
    file: File,
    inode: u64,
    bytes: Vec<u8>,
    sound: [Vec<u8>; KINDS],
    locks: KernelLocks,
}

/// How an object is used.
#[derive(Debug, Clone, Copy)]
struct Manner(u8);

impl Manner {
    /// Returns how long a verb may wait for a lock that only damage holds.
    fn lock_timeout(self) -> Duration {
        if self.0 & 7 == 7 { Duration::from_micros(50) } else { Duration::ZERO }
    }
    fn is_read_only(self) -> bool {
        self.0 >> 3 & 3 == 3
    }
    fn is_cut_off(self) -> bool {
        self.0 >> 5 == 4
    }
    fn is_inspected(self) -> bool {
        self.0 >> 5 == 5
    }
    fn is_repaired(self) -> bool {
        self.0 >> 4 == 13
    }
    /// Returns whether it is taken for a copy, which is checked when it is opened, and most often refused.
    fn is_copy(self) -> bool {
        self.0 >> 5 == 7
    }
}

/// An open damaged object, and what limits its use.
struct Subject<'a> {
    shm: Shm,
    lock_timeout: Duration,
    directory: &'a Directory,
    verbs: [u8; 3],
}

impl Damaged {
    /// Makes the sound objects, which are the same each time but for their ids, and for times.
    ///
    /// # Panics
    /// If that fails.
    pub fn new() -> Damaged {
        let directory = Directory::in_memory("damaged");
        let make = |object: &objects::Object| (object.make)(&directory).expect("a sound object");
        let sound = with_seed(1, || OBJECTS.each_ref().map(make));
        let (file, inode) = file_in(&directory);
        let name = directory.name(OBJECT);
        Damaged { directory, name, file, inode, bytes: Vec::new(), sound, locks: KernelLocks::read() }
    }

    /// Damages an object as the bytes say, and uses it. Returns whether it could be opened; any error of a verb will do.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn run(&mut self, input: &[u8]) -> bool {
        let Some((&[kind, manner, ref verbs @ ..], changes)) = input.split_first_chunk::<FIRST>() else { return false };
        let (kind, manner) = (usize::from(kind) % KINDS, Manner(manner));
        self.bytes.clone_from(&self.sound[kind]);
        for change in changes.chunks_exact(CHANGE).take(CHANGES) {
            let place = u16::from_le_bytes([change[1], change[2]]);
            let with = u32::from_le_bytes([change[3], change[4], change[5], change[6]]);
            damage(&mut self.bytes, change[0], place, with);
        }
        if let Some(&[at, ..]) = changes.first_chunk::<CHANGE>()
            && manner.is_cut_off()
        {
            self.bytes.truncate(self.bytes.len() * usize::from(at) / 256);
        }
        self.write(manner);
        let used = self.use_it(kind, manner, *verbs).is_ok();
        if manner.is_inspected() {
            drop(Inspector::open(&self.name).and_then(|inspector| inspector.look_with(&self.locks)));
        }
        if manner.is_repaired() && repair(&self.name).is_ok() {
            drop(self.use_it(kind, manner, *verbs));
            (self.file, self.inode) = file_in(&self.directory);
        }
        used
    }

    /// Writes the damaged object, in place: much quicker than a new file.
    fn write(&mut self, manner: Manner) {
        if !manner.is_copy() {
            settle(&mut self.bytes, self.inode);
        }
        self.file.set_len(self.bytes.len() as u64).expect("a file of our own");
        self.file.write_all_at(&self.bytes, 0).expect("a file of our own");
    }

    fn use_it(&self, kind: usize, manner: Manner, verbs: [u8; 3]) -> Result<()> {
        let lock_timeout = manner.lock_timeout();
        let options = Shm::options().read_only(manner.is_read_only()).lock_timeout(lock_timeout);
        let shm = options.open(&self.name)?;
        (OBJECTS[kind].use_it)(&Subject { shm, lock_timeout, directory: &self.directory, verbs })
    }
}

impl Default for Damaged {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the bytes that describe a run on an object of that kind.
pub fn input(kind: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let length = FIRST + CHANGE * (1 + random.below(3) as usize);
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| random.number().to_le_bytes()).take(length).collect();
    bytes[0] = kind as u8;
    bytes
}

/// Returns the bytes that describe a run on an object of that kind, of which only what plays that role is damaged.
pub fn input_for_role(kind: usize, role: usize, seed: u64) -> Vec<u8> {
    let mut bytes = input(kind, seed);
    for change in bytes[FIRST..].chunks_mut(CHANGE) {
        change[0] = 128 | role as u8;
    }
    bytes
}

/// Lets the thread's pauses end when they should. (The kernel prolongs them by up to 50 us otherwise, more than most runs take.)
pub fn sleep_exactly() {
    // If that fails, a run takes longer.
    let _ = nix::sys::prctl::set_timerslack(1);
}

/// Returns the file for objects, and its inode.
fn file_in(directory: &Directory) -> (File, u64) {
    let path = directory.join(OBJECT);
    let file = File::options().write(true).create(true).truncate(false).open(path).expect("a file of our own");
    let inode = file.metadata().expect("a file of our own").ino();
    (file, inode)
}

/// Changes something.
fn damage(bytes: &mut [u8], what: u8, place: u16, with: u32) {
    const WORD: usize = 8;
    /// The first pages hold what ties everything together.
    const FIRST_WORDS: usize = 4096;
    if what & 128 != 0 {
        // The role, then numbers that follow from the change alone.
        let mut state = u64::from(place) << 32 | u64::from(with);
        let mut role = Some(u64::from(what & 127));
        return spoil(bytes, &mut |limit| match role.take() {
            Some(role) => role % limit,
            None => {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                (state >> 33) % limit
            }
        });
    }
    let words = if what & 64 == 0 { bytes.len() / WORD } else { FIRST_WORDS.min(bytes.len() / WORD) };
    if words == 0 {
        return;
    }
    let (at, other) = (usize::from(place) % words, with as usize % words);
    let load = |bytes: &[u8], at: usize| {
        let word = bytes[at * WORD..].first_chunk().expect("a word");
        u64::from_ne_bytes(*word)
    };
    let old = load(bytes, at);
    let new = match what & 15 {
        0 => u64::from(with),
        1 => old ^ 1 << (with % 64),
        2 => old.wrapping_add(u64::from(with)).wrapping_sub(1 << 31),
        3 => u64::from(with) << 32,
        4 => load(bytes, other),
        5 => !u64::from(with),
        6 => 0,
        7 => u64::MAX,
        8 => old.wrapping_add(u64::from(with % 17)).wrapping_sub(8),
        9 => u64::from(with).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        10 => old & !(0xFF << (with % 8 * 8)) | u64::from(with >> 8 & 0xFF) << (with % 8 * 8),
        11 => {
            // A piece of the object in a wrong place.
            let length = (with as usize >> 20) % 600;
            let (from, to) = (other * WORD, at * WORD);
            let length = length.min(bytes.len() - from).min(bytes.len() - to);
            return bytes.copy_within(from..from + length, to);
        }
        12 => {
            let end = (at * WORD + (with as usize >> 16) % 5000).min(bytes.len());
            return bytes[at * WORD..end].fill(0);
        }
        13 => {
            let (a, b) = (old, load(bytes, other));
            bytes[other * WORD..][..WORD].copy_from_slice(&a.to_ne_bytes());
            b
        }
        // Addresses.
        14 => at as u64 * WORD as u64,
        _ => other as u64 * WORD as u64,
    };
    bytes[at * WORD..][..WORD].copy_from_slice(&new.to_ne_bytes());
}
