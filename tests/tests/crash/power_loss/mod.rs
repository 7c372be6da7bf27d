//! Losses of power: any of the pages that changed since the last `sync` may have reached the disk, in any state they had.
//!
//! The file is read after every change and in the middle of groups, which gives each page as it was at those moments. Then
//! an image is put together from pages of any of them, with the boot id of another boot, and opened in another process. The
//! first change after a `sync` makes the mark durable before anything else, so the header is never older than that.
//!
//! What must come of it: after a `sync` without later changes exactly what was there; otherwise an error, or an object that a
//! check finds sound and in which each key has a value that it had at the `sync` or later. Only a text that has changed since the
//! `sync`, and lies in several pages, may be one that was never stored; and a key that was removed before the `sync` and stored again
//! in the same place after it may have the value that it had before. Never a hang, a signal or a panic.

mod subjects;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use netshm::{Error, HashTable, Result, Shm, ShmName, repair};
use netshm_tests::{Child, Directory, Random};

use subjects::{Members, Numbers, Pairs, Subject, Texts, first, text_of};

const PAGE: usize = 4096;
/// Stands for a value that was never stored: it lies in several pages.
const MIXED: u64 = u64::MAX;

/// Images for each kind of object; more with `NETSHM_POWER_LOSSES`.
fn rounds() -> u64 {
    std::env::var("NETSHM_POWER_LOSSES").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

fn open<S: Subject>(path: &Path) -> Result<S> {
    S::open(Shm::options().create(true).open(&ShmName::file(path)?)?)
}

/// History of a file, and of its users' values, from one `sync` on.
struct Trace {
    files: Directory,
    images: Vec<Vec<u8>>,
    states: Vec<BTreeMap<u64, u64>>,
    /// The last values of keys that were removed before the `sync`.
    removed: BTreeMap<u64, u64>,
    /// True if a change was under way.
    under_way: Vec<bool>,
}

impl Trace {
    fn note(&mut self, subject: &impl Subject, under_way: bool) {
        // This recovers the dead.
        self.states.push(subject.dump().unwrap());
        self.images.push(fs::read(self.files.join("object")).unwrap());
        self.under_way.push(under_way);
    }
}

/// Ends a group.
fn undone() -> Error {
    ShmName::posix("").unwrap_err()
}

/// Makes changes of all kinds, in this process and in one that is killed.
fn changes<S: Subject>(random: &mut Random) -> Trace {
    let mut trace = Trace {
        files: Directory::in_memory(S::NAME),
        images: Vec::new(),
        states: Vec::new(),
        removed: BTreeMap::new(),
        under_way: Vec::new(),
    };
    let path = trace.files.join("object");
    if S::NAME == Texts::NAME {
        let name = ShmName::file(&path).unwrap();
        let shm = Shm::options().create(true).open(&name).unwrap();
        let first: HashTable<u64, first::Row> = HashTable::options().stripes(2).slots(3).init(10).manage(shm).unwrap();
        (1..99).try_for_each(|key| first.replace(&key, &first::Row { text: text_of(key) })).unwrap();
        first.sync().unwrap();
    }
    let object: S = open(&path).unwrap();
    let mut version = 1000;
    let mut next = || {
        version += 1;
        version
    };
    if S::NAME != Texts::NAME {
        (0..300).try_for_each(|key| object.put(key * 3 % 299, next())).unwrap();
        trace.removed = object.dump().unwrap();
        (0..50).try_for_each(|key| object.remove(key * 5)).unwrap();
        let left = object.dump().unwrap();
        trace.removed.retain(|key, _| !left.contains_key(key));
    }
    object.sync().unwrap();
    trace.note(&object, false);
    // Takes back nothing but what it did itself; the mark is in storage from here on.
    let _ = object.group(&|| object.put(7, 1).and(Err(undone())));
    trace.note(&object, false);
    for turn in 0..14 {
        let key = random.below(400);
        match turn % 7 {
            0 => object.put(key, next()).unwrap(),
            1 => object.remove(key).unwrap(),
            2 => {
                let versions: Vec<_> = (0..40).map(|_| next()).collect();
                let middle = std::cell::RefCell::new(&mut trace);
                let outcome = object.group(&|| {
                    for (i, version) in versions.iter().enumerate() {
                        object.put((key + i as u64 * 7) % 400, *version)?;
                        object.remove((key + i as u64 * 11) % 400)?;
                        if i % 13 == 5 {
                            middle.borrow_mut().note(&object, true);
                        }
                    }
                    if turn > 7 { Err(undone()) } else { Ok(()) }
                });
                assert_eq!(outcome.is_err(), turn > 7);
            }
            3 if turn > 7 => object.clear().unwrap(),
            3 => (0..700).try_for_each(|key| object.put(key * 2, next())).unwrap(),
            4 => {
                let mut child = Child::start("power_loss::writer", &[S::NAME, path.to_str().unwrap()]);
                assert_eq!(child.line().as_deref(), Some("inside"));
                // Nobody can look inside while another process's group is open.
                trace.images.push(fs::read(&path).unwrap());
                child.kill();
                trace.states.push(S::written_by_writer());
                trace.under_way.push(true);
            }
            5 => {
                (0..200).try_for_each(|key| object.remove(key)).unwrap();
                trace.note(&object, false);
                object.keep_up().unwrap();
            }
            _ => (0..30).try_for_each(|i| object.put((key + i) % 400, next())).unwrap(),
        }
        trace.note(&object, false);
    }
    trace
}

/// Returns the bytes of this boot's id in an object.
fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let id = u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap();
    let [high, low] = [(id >> 64) as u64, id as u64].map(u64::to_ne_bytes);
    [high, low].concat().try_into().unwrap()
}

/// Makes an image that of another boot.
fn age(image: &mut [u8]) {
    let id = boot_id();
    let mut found = 0;
    for at in (0..PAGE - 16).step_by(8) {
        if image[at..at + 16] == id {
            image[at..at + 16].fill(7);
            found += 1;
        }
    }
    assert!(found > 0, "the boot id stands in the header");
}

/// Returns a page of an image, zeros where the file did not reach.
fn page_of(image: &[u8], page: usize, length: usize) -> Vec<u8> {
    let start = (page * PAGE).min(image.len());
    let mut bytes = image[start..(start + PAGE).min(image.len())].to_vec();
    bytes.resize(length, 0);
    bytes
}

/// Returns an image of the last of some moments, with pages of any of them; the header is not of the first.
fn mixture(images: &[&Vec<u8>], random: &mut Random) -> Vec<u8> {
    let (last, kind) = (images.len() - 1, random.below(4));
    let length = images[if random.once_in(4) { random.below(last as u64 + 1) as usize } else { last }].len();
    let mut mixed = Vec::with_capacity(length);
    for page in 0..length.div_ceil(PAGE) {
        let oldest = usize::from(page == 0);
        let moment = match kind {
            // Nearly all of it is there, or nearly nothing, or half, or anything.
            0 => [last, oldest][usize::from(random.once_in(12))],
            1 => [oldest, last][usize::from(random.once_in(12))],
            2 => [oldest, last][usize::from(random.once_in(2))],
            _ => oldest + random.below((last - oldest) as u64 + 1) as usize,
        };
        let bytes = page_of(images[moment], page, PAGE.min(length - page * PAGE));
        mixed.extend(bytes);
    }
    mixed
}

/// Opens images in another process; what it finds in each.
fn opened<S: Subject>(files: &Directory, images: &[Vec<u8>]) -> Vec<String> {
    for (number, image) in images.iter().enumerate() {
        fs::write(files.join(&format!("image-{number}")), image).unwrap();
    }
    let child = Child::start("power_loss::opener", &[S::NAME, files.text(), &images.len().to_string()]);
    let found = (0..images.len())
        .map(|number| child.line().unwrap_or_else(|| panic!("{}: whoever opens image {number} dies", S::NAME)));
    let found = found.collect();
    child.succeed();
    found
}

fn parse(found: &str) -> Option<BTreeMap<u64, u64>> {
    let pair = |text: &str| text.split_once(':').map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap()));
    found.strip_prefix("holds").map(|all| all.split_whitespace().filter_map(pair).collect())
}

fn lose_power<S: Subject>() {
    let seed = std::env::var("NETSHM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut random = Random::new(seed);
    let trace = changes::<S>(&mut random);
    let (mut refused, mut exact, mut old, mut left) = (0, 0, 0, rounds());
    while left > 0 {
        let count = left.min(20);
        left -= count;
        // Half of them are only of moments when no change was under way.
        let mut choose = || -> Vec<usize> {
            let last = 1 + random.below(trace.images.len() as u64 - 1) as usize;
            let at_rest = random.once_in(2);
            (0..=last).filter(|&moment| moment < 2 || !at_rest || !trace.under_way[moment]).collect()
        };
        let moments: Vec<_> = (0..count).map(|_| choose()).collect();
        let image_of = |moments: &Vec<usize>| moments.iter().map(|&moment| &trace.images[moment]).collect::<Vec<_>>();
        let mut images: Vec<_> = moments.iter().map(|chosen| mixture(&image_of(chosen), &mut random)).collect();
        images.iter_mut().for_each(|image| age(image));
        for ((found, moments), image) in opened::<S>(&trace.files, &images).iter().zip(&moments).zip(&images) {
            let keep = || {
                let path = std::env::temp_dir().join(format!("netshm-power-{}", S::NAME));
                fs::write(&path, image).unwrap();
                path
            };
            let Some(content) = parse(found) else {
                assert!(found.starts_with("refused"), "{}, seed {seed}: {found} ({:?})", S::NAME, keep());
                refused += 1;
                continue;
            };
            let states: Vec<_> = moments.iter().map(|&moment| &trace.states[moment]).collect();
            for key in 0..4000 {
                let value = content.get(&key);
                let was_so = states.iter().any(|state| state.get(&key) == value);
                // A text that has changed since may lie in pages of several moments.
                let has_changed = states.iter().any(|state| state.get(&key) != states[0].get(&key));
                let mixed = value == Some(&MIXED) && has_changed && S::NAME == Texts::NAME;
                // Its place in the index is new, and the page that it leads to old.
                let is_back = value.is_some() && value == trace.removed.get(&key) && has_changed;
                assert!(was_so || mixed || is_back, "{}, seed {seed}: {key} has {value:?} ({:?})", S::NAME, keep());
            }
            if states.last() == Some(&&content) { exact += 1 } else { old += 1 }
        }
    }
    println!("{}: {refused} refused, {exact} as they were at last, {old} older or mixed", S::NAME);
    assert!(refused > 0 && exact + old > 0, "the images are all alike");
}

/// Checks that everything is there after a `sync` with only readers since, whatever pages they touched.
fn keep_what_is_synced<S: Subject>() {
    let mut random = Random::new(5);
    let trace = changes::<S>(&mut random);
    let path = trace.files.join("object");
    let object: S = open(&path).unwrap();
    object.put(3, 5000).unwrap();
    let mut child = Child::start("power_loss::writer", &[S::NAME, path.to_str().unwrap()]);
    assert_eq!(child.line().as_deref(), Some("inside"));
    child.kill();
    object.sync().unwrap();
    let content = object.dump().unwrap();
    let mut images = vec![fs::read(&path).unwrap()];
    let read = || {
        object.group(&|| object.dump().map(drop)).unwrap();
        assert!(object.check().unwrap().is_clean());
    };
    read();
    images.push(fs::read(&path).unwrap());
    let mut reader = Child::start("power_loss::reader", &[S::NAME, path.to_str().unwrap()]);
    assert_eq!(reader.line().as_deref(), Some("inside"));
    images.push(fs::read(&path).unwrap());
    reader.kill();
    read();
    images.push(fs::read(&path).unwrap());
    drop(object);
    images.push(fs::read(&path).unwrap());
    let last = images.len() - 1;
    // The header may be any, too.
    let mut mixed: Vec<_> = (0..20)
        .map(|_| {
            let pages = images[0].len().div_ceil(PAGE);
            let any = |page| page_of(&images[random.below(last as u64 + 1) as usize], page, PAGE);
            (0..pages).flat_map(any).collect::<Vec<u8>>()
        })
        .collect();
    mixed.iter_mut().for_each(|image| {
        image.truncate(images[0].len());
        age(image);
    });
    for found in opened::<S>(&trace.files, &mixed) {
        assert!(parse(&found).as_ref() == Some(&content), "{}: {found}", S::NAME);
    }
}

/// Returns whether an object can be used like any other.
fn work<S: Subject>(object: &S) -> Result<bool> {
    object.put(1, 1)?;
    object.group(&|| (0..90).try_for_each(|key| object.put(key * 17, key)))?;
    (0..400).try_for_each(|key| object.remove(key))?;
    object.clear()?;
    object.put(1, 1)?;
    Ok(object.check()?.is_clean())
}

fn play<S: Subject>(part: &str, arguments: &[String]) {
    let path = Path::new(&arguments[1]);
    match part {
        "writer" | "reader" => {
            let object: S = open(path).unwrap();
            let write = part == "writer";
            let _ = object.group(&|| {
                if write {
                    (0..60).try_for_each(|key| object.put(key * 3, 900 + key))?;
                } else {
                    object.dump()?;
                }
                println!("> inside");
                std::thread::sleep(std::time::Duration::from_secs(100));
                Ok(())
            });
        }
        "opener" => {
            let (object, copy) = (path.join("object"), path.join("copy"));
            for number in 0..arguments[2].parse().unwrap() {
                let image = fs::read(path.join(format!("image-{number}"))).unwrap();
                // Into the same file, lest it be taken for a copy.
                fs::write(&object, &image).unwrap();
                let outcome = open::<S>(&object).and_then(|object| {
                    let content = object.dump()?;
                    if !object.check()?.is_clean() {
                        return Ok("damaged, though nobody said so".to_owned());
                    }
                    let content: Vec<_> = content.iter().map(|(key, version)| format!("{key}:{version}")).collect();
                    let works = work(&object)?;
                    Ok(if works { format!("holds {}", content.join(" ")) } else { "damaged by later work".to_owned() })
                });
                match outcome {
                    Ok(text) => println!("> {text}"),
                    Err(error) => {
                        fs::write(&copy, &image).unwrap();
                        let _ = ShmName::file(&copy).and_then(|name| repair(&name).map(drop));
                        println!("> refused: {}", error.to_string().replace('\n', " "));
                    }
                }
            }
        }
        other => panic!("no such part: {other}"),
    }
}

pub(crate) fn child(part: &str, arguments: &[String]) {
    match arguments[0].as_str() {
        Pairs::NAME => play::<Pairs>(part, arguments),
        Texts::NAME => play::<Texts>(part, arguments),
        Numbers::NAME => play::<Numbers>(part, arguments),
        Members::NAME => play::<Members>(part, arguments),
        other => panic!("no such subject: {other}"),
    }
}

#[test]
fn tables_of_pairs() {
    keep_what_is_synced::<Pairs>();
    lose_power::<Pairs>();
}

#[test]
fn tables_of_records() {
    keep_what_is_synced::<Texts>();
    lose_power::<Texts>();
}

#[test]
fn arrays() {
    keep_what_is_synced::<Numbers>();
    lose_power::<Numbers>();
}

#[test]
fn members() {
    keep_what_is_synced::<Members>();
    lose_power::<Members>();
}
