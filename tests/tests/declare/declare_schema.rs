//! `#[derive(ShmSchema)]`: opening, creating, removing, checking and describing the objects of a struct.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use netshm::declare::Place;
use netshm::{Array, Error, HashTable, Locking, Shm, ShmData, ShmName, ShmSchema, Table};
use netshm_tests::{Directory, unique};

#[derive(ShmData, Debug, Clone, PartialEq, Default)]
struct Session {
    user: u64,
    name: String,
}

#[derive(ShmData, Debug, Clone, PartialEq)]
struct City {
    name: String,
    inhabitants: u64,
}

/// State that the server and its workers share.
///
/// Restart all of them after a change.
#[derive(ShmSchema, Debug)]
#[shm(prefix = "/netshm-test-declared", locking = Locking::Futex, mode = 0o640)]
pub(crate) struct AppState {
    /// One row for each signed-in user.
    #[shm(init = 10_000)]
    sessions: HashTable<String, Session>,
    #[shm(len = 16, default = 7)]
    counters: Array<u64>,
    #[shm(name = "raw", locking = Locking::Record, mode = 0o600, pagesize = 512, lock_timeout = Duration::from_secs(5))]
    primitive: Table,
}

#[derive(ShmSchema)]
#[shm(dir = "netshm-test-declared")]
pub(crate) struct Atlas {
    #[shm(file = "geo.cities", locking = Locking::None, read_only)]
    cities: HashTable<u32, City>,
    visits: Array<u64>,
}

/// The same cities, for the program that writes them.
#[derive(ShmSchema)]
#[shm(dir = "netshm-test-declared")]
pub(crate) struct Editor {
    #[shm(file = "geo.cities", locking = Locking::Record)]
    cities: HashTable<u32, City>,
}

/// A prefix that nobody else uses; dropping it removes the objects of `S` below it.
pub(crate) struct Prefix<S: ShmSchema>(pub(crate) String, std::marker::PhantomData<S>);

impl<S: ShmSchema> Prefix<S> {
    pub(crate) fn new() -> Self {
        Prefix(format!("/{}", unique("declare")), std::marker::PhantomData)
    }
}

impl<S: ShmSchema> Drop for Prefix<S> {
    fn drop(&mut self) {
        let _ = S::at(&self.0).unlink();
    }
}

pub(crate) fn is_io(error: &Error, expected: ErrorKind) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == expected)
}

pub(crate) fn exists(name: &ShmName) -> bool {
    match Shm::open(name) {
        Ok(_) => true,
        Err(error) => {
            assert!(is_io(&error, ErrorKind::NotFound), "{error}");
            false
        }
    }
}

#[test]
fn names_follow_from_the_prefix_and_the_field() {
    let names: Vec<(&str, String)> =
        AppState::names().into_iter().map(|(field, name)| (field, name.to_string())).collect();
    assert_eq!(
        names,
        [
            ("sessions", "posix:/netshm-test-declared.sessions".to_owned()),
            ("counters", "posix:/netshm-test-declared.counters".to_owned()),
            ("primitive", "posix:/netshm-test-declared.raw".to_owned()),
        ]
    );
    let names = |place: &str| -> Vec<String> {
        Atlas::at(place).names().unwrap().into_iter().map(|(_, name)| name.to_string()).collect()
    };
    assert_eq!(names("data"), ["file:data/geo.cities", "file:data/visits"]);
    assert_eq!(names("/other"), ["file:geo.cities", "posix:/other.visits"]);
}

#[test]
fn a_whole_name_is_the_same_in_all_places() {
    #[derive(ShmSchema)]
    #[shm(prefix = "/netshm-test-declared")]
    struct Whole {
        #[shm(name = "/shared")]
        slash: Table,
        #[shm(name = "posix:/shared.2")]
        posix: Table,
        #[shm(name = "file:/data/shared")]
        file: Table,
        #[shm(file = "/data/absolute")]
        absolute: Table,
    }
    let expected = ["posix:/shared", "posix:/shared.2", "file:/data/shared", "file:/data/absolute"];
    for place in ["/netshm-test-declared", "some/directory"] {
        let names = Whole::at(place).names().unwrap();
        assert_eq!(names.iter().map(|(_, name)| name.to_string()).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_place_that_fits_no_name_is_refused_before_anything_is_created() {
    for place in [Place::posix("no-slash"), Place::posix("/a/b"), Place::posix(format!("/{}", "p".repeat(250)))] {
        let error = AppState::at(place.to_string()).create().unwrap_err();
        assert!(matches!(error, Error::InvalidName { .. }), "{place}: {error}");
    }
    #[derive(ShmSchema)]
    #[shm(prefix = "/netshm-test-declared")]
    struct Growing {
        short: Table,
        quite_a_bit_longer: Table,
    }
    let mut prefix = format!("/{}", unique("declare"));
    prefix.push_str(&"p".repeat(256 - ".quite_a_bit_longer".len() - prefix.len()));
    assert!(Growing::at(&prefix).names().is_ok());
    prefix.push('p');
    assert!(matches!(Growing::at(&prefix).create(), Err(Error::InvalidName { .. })));
    assert!(!exists(&ShmName::posix(format!("{prefix}.short")).unwrap()));
}

#[test]
fn create_makes_all_objects_as_declared() {
    let here = Prefix::<AppState>::new();
    let state = AppState::at(&here.0).create().unwrap();
    for (field, name) in AppState::at(&here.0).names().unwrap() {
        let path = format!("/dev/shm{}", name.to_string().strip_prefix("posix:").unwrap());
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        // The umask may take bits away, but not the owner's.
        assert_eq!(mode & 0o700, 0o600, "{field}");
        assert!(field != "primitive" || mode == 0o600, "{mode:o}");
    }
    assert_eq!(state.counters.len().unwrap(), 16);
    assert_eq!(state.counters.get(15).unwrap(), 7);
    let row = Session { user: 1, name: "Ann".to_owned() };
    state.sessions.add("k", &row).unwrap();
    state.primitive.add(1, &[2]).unwrap();
    drop(state);

    let again = AppState::at(&here.0).open().unwrap();
    assert_eq!(again.sessions.find("k").unwrap(), Some(row));
    assert_eq!(again.primitive.find(1).unwrap(), Some(vec![2]));
}

#[test]
fn options_reach_their_objects() {
    #[derive(ShmSchema)]
    #[shm(prefix = "/netshm-test-declared", locking = Locking::Record, lock_timeout = Duration::ZERO)]
    struct Options {
        #[shm(init = 2000, pagesize = 512, stripes = 8, slots = 16)]
        table: HashTable<u32, u32>,
        #[shm(max_size = 1 << 24, locking = Locking::Futex)]
        array: Array<u8>,
    }
    let here = Prefix::<Options>::new();
    let options = Options::open_in(&here.0).unwrap();
    let stats = options.table.stats().unwrap();
    assert_eq!((stats.pagesize, stats.stripes, stats.slots), (512, 8, 16));
    assert_eq!((stats.max_size, stats.locking), (2000 * 512 * 32768, Locking::Record));
    let stats = options.array.stats().unwrap();
    assert_eq!((stats.max_size, stats.locking), (1 << 24, Locking::Futex));

    let other = Options::open_in(&here.0).unwrap();
    let waiting = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            other.table.group(|| -> netshm::Result<()> {
                other.table.add(&1, &1)?;
                waiting.wait();
                waiting.wait();
                Ok(())
            })
        });
        waiting.wait();
        let refused = options.table.add(&1, &2);
        waiting.wait();
        assert!(matches!(refused, Err(Error::LockTimeout { .. })), "{refused:?}");
    });
}

#[test]
fn open_needs_all_objects() {
    let here = Prefix::<AppState>::new();
    let at = AppState::at(&here.0);
    assert!(is_io(&at.open().unwrap_err(), ErrorKind::NotFound));
    at.create().unwrap();
    let (_, name) = at.names().unwrap().remove(1);
    name.unlink().unwrap();
    let error = at.open().unwrap_err();
    assert!(is_io(&error, ErrorKind::NotFound), "{error}");
    assert!(error.to_string().contains(&name.to_string()), "{error}");
    assert!(!exists(&name), "opening creates nothing");
}

#[test]
fn open_or_create_makes_what_is_missing_and_keeps_the_rest() {
    let here = Prefix::<AppState>::new();
    let at = AppState::at(&here.0);
    at.open_or_create().unwrap().sessions.add("k", &Session::default()).unwrap();
    let (_, name) = at.names().unwrap().remove(1);
    name.unlink().unwrap();
    let state = AppState::open_in(&here.0).unwrap();
    assert_eq!(state.sessions.len().unwrap(), 1);
    assert_eq!(state.counters.len().unwrap(), 16);
}

#[test]
fn an_array_grows_to_its_length_and_never_shrinks() {
    let here = Prefix::<AppState>::new();
    let state = AppState::open_in(&here.0).unwrap();
    state.counters.resize(20).unwrap();
    state.counters.set(19, &1).unwrap();
    assert_eq!(AppState::open_in(&here.0).unwrap().counters.len().unwrap(), 20);
    assert_eq!(state.counters.get(19).unwrap(), 1);
    state.counters.resize(3).unwrap();
    assert_eq!(AppState::at(&here.0).open().unwrap().counters.len().unwrap(), 16);
}

#[test]
fn a_read_only_field_is_never_created_changed_or_removed() {
    let here = Directory::new("declare");
    for opened in
        [Atlas::at(here.path()).create(), Atlas::at(here.path()).open_or_create(), Atlas::open_in(here.path())]
    {
        assert!(is_io(&opened.map(drop).unwrap_err(), ErrorKind::NotFound));
        assert!(here.entries().is_empty());
    }

    let editor = Editor::open_in(here.path()).unwrap();
    let city = City { name: "Graz".to_owned(), inhabitants: 300_000 };
    editor.cities.add(&8010, &city).unwrap();
    let atlas = Atlas::at(here.path()).create().unwrap();
    assert_eq!(atlas.cities.find(&8010).unwrap(), Some(city.clone()));
    assert!(matches!(atlas.cities.add(&1, &city), Err(Error::ReadOnly { .. })));
    assert!(atlas.cities.shm().is_read_only() && !atlas.visits.shm().is_read_only());
    assert!(atlas.check().unwrap().iter().all(|(_, report)| report.is_clean()));
    drop(atlas);

    Atlas::at(here.path()).unlink().unwrap();
    assert_eq!(here.entries(), ["geo.cities"]);
}

#[test]
fn a_directory_holds_a_file_for_each_field() {
    let here = Directory::new("declare");
    let state = AppState::open_in(here.path()).unwrap();
    state.counters.set(1, &5).unwrap();
    assert_eq!(here.entries(), ["counters", "raw", "sessions"]);
    let text = format!("file:{}", here.path().display());
    assert_eq!(AppState::at(text).open().unwrap().counters.get(1).unwrap(), 5);
    assert!(is_io(&AppState::open_in(here.join("missing")).unwrap_err(), ErrorKind::NotFound));
}

#[test]
fn unlink_removes_what_exists_and_minds_nothing_else() {
    let here = Prefix::<AppState>::new();
    let at = AppState::at(&here.0);
    at.unlink().unwrap();
    let state = at.create().unwrap();
    at.names().unwrap()[1].1.unlink().unwrap();
    at.unlink().unwrap();
    assert!(at.names().unwrap().iter().all(|(_, name)| !exists(name)));
    state.sessions.add("still", &Session::default()).unwrap();
}

#[test]
fn unlink_tells_what_it_could_not_remove_and_goes_on() {
    let here = Directory::new("declare");
    let at = AppState::at(here.path());
    at.create().unwrap();
    fs::remove_file(here.join("sessions")).unwrap();
    fs::create_dir(here.join("sessions")).unwrap();
    let error = at.unlink().unwrap_err();
    assert!(error.to_string().contains("sessions"), "{error}");
    assert_eq!(here.entries(), ["sessions"]);
}

#[test]
fn a_check_reports_on_each_field() {
    let here = Prefix::<AppState>::new();
    let state = AppState::open_in(&here.0).unwrap();
    state.sessions.add("a", &Session::default()).unwrap();
    state.sessions.add("b", &Session::default()).unwrap();
    let reports = state.check().unwrap();
    let bindings: Vec<_> = reports.iter().map(|(field, report)| (*field, report.bindings)).collect();
    assert_eq!(bindings, [("sessions", 2), ("counters", 0), ("primitive", 0)]);
    assert!(reports.iter().all(|(_, report)| report.is_clean()));
    for (field, object) in state.objects() {
        object.sync().unwrap();
        assert!(object.shm().name().to_string().ends_with(if field == "primitive" { "raw" } else { field }));
    }
}

#[test]
fn another_type_is_refused_by_name() {
    #[derive(ShmSchema, Debug)]
    #[shm(prefix = "/netshm-test-declared")]
    struct Changed {
        sessions: HashTable<String, u64>,
    }
    let here = Prefix::<AppState>::new();
    AppState::open_in(&here.0).unwrap();
    let error = Changed::open_in(&here.0).unwrap_err();
    assert!(matches!(error, Error::SchemaMismatch { .. }), "{error}");
    assert!(error.to_string().contains(&format!("{}.sessions", here.0)), "{error}");
}

#[test]
fn the_description_says_all_that_was_declared() {
    let expected = r"AppState in posix:/netshm-test-declared
    State that the server and its workers share.

    Restart all of them after a change.

    sessions: HashTable<String, Session {
        user: u64,
        name: String,
    }>
        One row for each signed-in user.
        name         posix:/netshm-test-declared.sessions
        locking      Futex
        mode         0o640
        init         10000 keys

    counters: Array<u64>
        name         posix:/netshm-test-declared.counters
        locking      Futex
        mode         0o640
        len          16 or more
        default      7

    primitive: Table
        name         posix:/netshm-test-declared.raw
        locking      Record
        mode         0o600
        pagesize     512 bytes
        lock_timeout 5s
";
    assert_eq!(AppState::describe(), expected);
    assert_eq!(AppState::declaration().to_string(), expected);

    let expected = r"Atlas in file:maps
    cities: HashTable<u32, City {
        name: String,
        inhabitants: u64,
    }>
        name         file:maps/geo.cities
        locking      None
        access       read-only
";
    let described = Atlas::at(Path::new("maps")).describe().replacen("\n\n", "\n", 1);
    assert!(described.starts_with(expected), "{described}");
    assert!(described.contains("locking      Futex (the default)\n"), "{described}");
    #[derive(ShmSchema)]
    #[shm(prefix = "/netshm-test-declared")]
    struct Defaults {
        #[shm(default = -1)]
        negative: Array<i64>,
        #[shm(default = City { name: String::from("no, \"where\""), inhabitants: 2 * (3 + 4) })]
        city: Array<City>,
        #[shm(default = vec![Some("a".to_owned())].into_iter().collect())]
        list: Array<Vec<Option<String>>>,
        #[shm(default)]
        plain: Array<char>,
        none: Array<char>,
    }
    let described = Defaults::describe();
    let defaults: Vec<&str> = described.lines().filter_map(|line| line.trim().strip_prefix("default ")).collect();
    assert_eq!(
        defaults.iter().map(|default| default.trim()).collect::<Vec<_>>(),
        [
            "-1",
            r#"City { name: String::from("no, \"where\""), inhabitants: 2 * (3 + 4) }"#,
            r#"vec![Some("a".to_owned())].into_iter().collect()"#,
            "the default of its type",
        ]
    );

    // A place that does not fit is described as well.
    assert!(Atlas::at("posix:maps").describe().contains("begins with a slash"));
}

#[derive(ShmSchema)]
#[shm(dir = "netshm-test-declared", require_owner)]
struct Guarded {
    visits: Array<u64>,
}

#[test]
fn objects_that_others_may_write_to_are_refused() {
    let directory = Directory::new("guarded");
    let state = Guarded::open_in(directory.path()).unwrap();
    assert_eq!(state.visits.len().unwrap(), 0);
    drop(state);
    let (_, name) = Guarded::at(directory.path()).names().unwrap().remove(0);
    Shm::open(&name).unwrap().set_mode(0o622).unwrap();
    let Err(error) = Guarded::open_in(directory.path()) else { panic!("it was opened") };
    assert!(matches!(error, Error::Io { .. }), "{error}");
    Shm::open(&name).unwrap().set_mode(0o600).unwrap();
    Guarded::open_in(directory.path()).unwrap();
}
