//! The texts that are names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use netshm::{Error, ShmName};

fn reason(result: Result<ShmName, Error>) -> &'static str {
    match result {
        Err(Error::InvalidName { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_are_printed_as_they_are_read() {
    let long = format!("posix:/{}", "a".repeat(255));
    for text in [
        "posix:/sample",
        "posix:/with space",
        "posix:/.hidden",
        "posix:/...",
        "posix:/posix:",
        "posix:/ä",
        &long,
        "file:sample",
        "file:/absolute/sample",
        "file:data/../sample",
        "file:..sample",
        "file:file:x",
    ] {
        assert_eq!(text.parse::<ShmName>().unwrap().to_string(), text);
    }
}

#[test]
fn constructors_and_parsing_agree() {
    assert_eq!(ShmName::posix("/a").unwrap(), "posix:/a".parse().unwrap());
    assert_eq!(ShmName::file("a").unwrap(), "file:a".parse().unwrap());
    assert_ne!(ShmName::file("/a").unwrap(), ShmName::posix("/a").unwrap());
    assert_ne!(ShmName::file("/dev/shm/a").unwrap(), ShmName::posix("/a").unwrap());
}

#[test]
fn each_rule_is_named() {
    for (text, part) in [
        ("", "neither `posix:`"),
        ("sample", "neither `posix:`"),
        ("/sample", "neither `posix:`"),
        ("POSIX:/sample", "neither `posix:`"),
        (" posix:/sample", "neither `posix:`"),
        ("posix:", "begins with a slash"),
        ("posix:sample", "begins with a slash"),
        ("posix:/", "nothing after the slash"),
        ("posix://", "one slash only"),
        ("posix://sample", "one slash only"),
        ("posix:/a/b", "no slash but the first"),
        ("posix:/a/", "no slash but the first"),
        ("posix:/.", "name directories"),
        ("posix:/..", "name directories"),
        ("posix:/a\0b", "NUL"),
        ("file:", "empty"),
        ("file:a\0b/c", "NUL"),
        ("file:a/", "names a directory"),
        ("file:/", "names a directory"),
        ("file:.", "name directories"),
        ("file:a/..", "name directories"),
    ] {
        assert!(reason(text.parse()).contains(part), "{text:?}: {}", reason(text.parse()));
    }
    let long = "a".repeat(256);
    for result in [ShmName::posix(format!("/{long}")), ShmName::file(&long), ShmName::file(format!("b/{long}"))] {
        assert!(reason(result).contains("255"));
    }
    assert!(ShmName::file(format!("{}/a", "b".repeat(300))).is_ok(), "only the last part is limited");
}

#[test]
fn the_message_shows_name_and_reason() {
    let message = ShmName::posix("sample").unwrap_err().to_string();
    assert!(message.contains("\"posix:sample\"") && message.contains("slash"), "{message}");
}

#[test]
fn bytes_that_are_no_text_make_a_name() {
    let name = ShmName::posix(OsStr::from_bytes(b"/\xff")).unwrap();
    assert_eq!(name.to_string(), "posix:/\u{fffd}");
}

#[test]
fn deleting_what_is_not_there_is_an_error() {
    let name = ShmName::posix(format!("/netshm-nothing-{}", std::process::id())).unwrap();
    match name.unlink() {
        Err(Error::Io { source, object, .. }) => {
            assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
            assert_eq!(*object, *name.to_string());
        }
        other => panic!("{other:?}"),
    }
}
