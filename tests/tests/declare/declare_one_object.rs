//! Schemas whose fields are members of one object.

use netshm::declare::Place;
use netshm::{Array, Error, HashTable, Locking, Shm, ShmSchema, Table, group};

#[derive(Debug, Clone, PartialEq, netshm::ShmData)]
struct Session {
    user: String,
    hits: u64,
}

/// The program's objects.
#[derive(ShmSchema)]
#[shm(object = "/netshm-one-object", locking = Locking::Futex, mode = 0o600, slots = 16, stripe_room = 200)]
#[shm(give_back_live)]
struct App {
    sessions: HashTable<String, Session>,
    #[shm(len = 16, default = 0)]
    counters: Array<u64>,
    #[shm(name = "raw numbers", stripes = 2)]
    raw: Table,
}

#[derive(ShmSchema)]
#[shm(object = "/netshm-one-object")]
struct Fewer {
    #[shm(default = 0)]
    counters: Array<u64>,
}

#[derive(Debug, ShmSchema)]
#[shm(object = "/netshm-one-object")]
struct More {
    #[allow(dead_code, reason = "it is not opened")]
    counters: Array<u64>,
    #[allow(dead_code, reason = "it is not opened")]
    missing: HashTable<u64, u64>,
}

fn place(subject: &str) -> String {
    format!("/netshm-one-object-{subject}-{}", std::process::id())
}

/// Deletes the object in the end.
struct Gone(String);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = App::at(self.0.as_str()).unlink();
    }
}

#[test]
fn all_fields_are_one_object() {
    let place = Gone(place("all"));
    let app = App::open_in(place.0.as_str()).unwrap();
    let s = Session { user: "a".to_owned(), hits: 1 };
    let done: netshm::Result<()> = group!(retry app => {
        app.sessions.add("k", &s)?;
        app.counters.update(0, |n| n + 1)?;
        app.raw.add(1, &[2])?;
    });
    done.unwrap();
    let undone = group!(app => {
        app.sessions.remove("k")?;
        app.counters.get(77)?;
    });
    assert!(matches!(undone, Err(Error::OutOfBounds { .. })));
    assert_eq!((app.sessions.find("k").unwrap(), app.counters.get(0).unwrap()), (Some(s), 1));
    for (field, report) in app.check().unwrap() {
        assert!(report.is_clean(), "{field}: {report}");
    }
    app.sync().unwrap();
    let stats = app.stats().unwrap();
    assert_eq!(stats.iter().map(|(field, _)| *field).collect::<Vec<_>>(), ["sessions", "counters", "raw"]);
    assert_eq!((stats[0].1.keys, stats[1].1.elements, stats[0].1.slots, stats[2].1.stripes), (1, 16, 16, 2));
    let members = app.sessions.shm().members().unwrap();
    assert_eq!(members.iter().map(|m| m.name()).collect::<Vec<_>>(), ["sessions", "counters", "raw numbers"]);
    assert_eq!(app.sessions.shm().name(), app.raw.shm().name());
    assert_eq!(app.sessions.shm().stats().unwrap().stripe_room, 200);
    // A program that knows fewer members, and one that knows more.
    let fewer = Fewer::at(place.0.as_str()).open().unwrap();
    assert_eq!(fewer.counters.get(0).unwrap(), 1);
    let missing = More::at(place.0.as_str()).open().unwrap_err();
    assert!(matches!(&missing, Error::NoMember { name, .. } if name == "missing"), "{missing}");
    assert!(
        missing.to_string().contains(r#"has no member "missing"; it has: "counters", "raw numbers", "sessions""#),
        "{missing}"
    );
    assert_eq!(More::at(place.0.as_str()).open_or_create().unwrap().missing.len().unwrap(), 0);
}

#[test]
fn creating_all_or_nothing() {
    let place = Gone(place("create"));
    drop(App::at(place.0.as_str()).create().unwrap());
    assert!(App::at(place.0.as_str()).create().is_err());
    assert!(App::at(place.0.as_str()).open().is_ok());
    App::at(place.0.as_str()).unlink().unwrap();
    assert!(App::at(place.0.as_str()).open().is_err());
}

#[test]
fn the_description_names_the_object() {
    let text = App::describe();
    assert!(text.starts_with("App in posix:/netshm-one-object\n"), "{text}");
    assert!(text.contains("posix:/netshm-one-object\n") && text.contains("raw"), "{text}");
    assert_eq!(text.matches("stripe_room  200 stripes\n").count(), 3, "{text}");
    assert_eq!(text.matches("memory       given back beside others\n").count(), 3, "{text}");
    assert_eq!(App::names().len(), 3);
    let directory = Place::from("file:data/app");
    assert_eq!(App::at(directory).names().unwrap()[0].1.to_string(), "file:data/app");
    let _ = Shm::options();
}

/// A change to any member is one to the object, and each member tells of its own.
#[test]
fn the_object_can_be_watched() {
    let here = App::at(place("watch"));
    let app = here.create().unwrap();
    let mut of_all = app.watch().unwrap();
    let mut of_raw = app.raw.watch().unwrap();
    let mut of_key = app.raw.watch_key(7).unwrap();
    let now = Some(std::time::Duration::ZERO);
    assert!(!of_all.changed(now).unwrap());
    app.counters.set(3, &1).unwrap();
    assert_eq!([of_all.changed(now).unwrap(), of_raw.changed(now).unwrap()], [true, false]);
    std::thread::scope(|scope| {
        scope.spawn(|| group!(app => app.raw.add(7, &[1, 2])?).unwrap());
        assert_eq!(app.raw.wait_until(7, None, |found| found.is_some()).unwrap(), Some(vec![1, 2]));
    });
    assert!(of_all.changed(None).unwrap() && of_raw.changed(None).unwrap() && of_key.changed(None).unwrap());
    here.unlink().unwrap();
}
