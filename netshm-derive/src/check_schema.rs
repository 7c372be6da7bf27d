//! What a schema of tables and arrays may not say, one function each.

use std::collections::HashMap;

use crate::attr::Errors;
use crate::schema::{Name, Object, SchemaInput};

/// The longest name of a POSIX object or a file, in bytes.
const LONGEST: usize = 255;

/// All checks for `ShmSchema`.
pub(crate) fn check(input: &SchemaInput, errors: &mut Errors) {
    place(input, errors);
    for object in &input.fields {
        read_only(object, errors);
        arrays_only(object, errors);
        name(input, object, errors);
    }
    names(input, errors);
}

fn place(input: &SchemaInput, errors: &mut Errors) {
    match (&input.attrs.prefix, &input.attrs.dir) {
        (Some(_), Some(dir)) => {
            errors.add(dir.span, "`dir` and `prefix` both say where the objects are; remove one");
        }
        // What is wrong with an attribute may be that it should have been one of these.
        (None, None) if !errors.is_empty() => {}
        (None, None) => errors.add(
            input.original.ident.span(),
            format!(
                "`{}` does not say where its objects are; add `#[shm(prefix = \"/name\")]` for POSIX shared memory or \
                 `#[shm(dir = \"path\")]` for files",
                input.original.ident
            ),
        ),
        (Some(prefix), None) => {
            if let Some(fault) = posix_fault(&prefix.value) {
                errors.add(prefix.span, format!("{:?} cannot be a prefix: {fault}", prefix.value));
            }
        }
        (None, Some(dir)) => {
            if let Some(fault) = path_fault(&dir.value) {
                errors.add(dir.span, format!("{:?} cannot be a directory: {fault}", dir.value));
            }
        }
    }
}

fn read_only(object: &Object, errors: &mut Errors) {
    if object.attrs.read_only.is_none() {
        return;
    }
    let creating = ["init", "pagesize", "max_size", "stripes", "slots", "mode"]
        .into_iter()
        .filter_map(|option| Some((option, object.attrs.option(option)?.span)))
        .chain(object.attrs.len.as_ref().map(|len| ("len", len.span)));
    for (option, span) in creating {
        errors.add(
            span,
            format!("a field that is `read_only` is never created, so `{option}` says nothing; remove one of them"),
        );
    }
}

/// Tables have no elements. (If the type has another name here, the compiler says so.)
fn arrays_only(object: &Object, errors: &mut Errors) {
    let syn::Type::Path(path) = &object.ty else { return };
    let Some(last) = path.path.segments.last() else { return };
    if last.ident != "HashTable" && last.ident != "Table" {
        return;
    }
    if let Some(len) = &object.attrs.len {
        errors.add(
            len.span,
            format!(
                "`len` is for arrays, and `{}` is a table; remove it (the expected number of keys is `init`)",
                object.ident
            ),
        );
    }
    if let Some(default) = &object.attrs.default {
        errors.add(
            default.span,
            format!(
                "`default` is for arrays, and `{}` is a table, whose rows have no default; remove it",
                object.ident
            ),
        );
    }
}

fn name(input: &SchemaInput, object: &Object, errors: &mut Errors) {
    if let (Some(_), Some(name)) = (&object.attrs.file, &object.attrs.name) {
        errors.add(name.span, "`name` and `file` both say how the object is called; remove one");
        return;
    }
    let (name, span) = object.name();
    let (text, fault) = match &name {
        Name::Part(part) => {
            let before = input.attrs.prefix.as_ref().map_or(0, |prefix| prefix.value.len());
            (part, part_fault(part, before))
        }
        Name::File(path) => (path, file_fault(path)),
        Name::Whole(name) => (
            name,
            match (name.strip_prefix("posix:"), name.strip_prefix("file:")) {
                (Some(name), _) => posix_fault(name),
                (None, path) => file_fault(path.unwrap_or(name)),
            },
        ),
    };
    if let Some(fault) = fault {
        errors.add(span, format!("{text:?} cannot be the name of an object: {fault}"));
    }
}

/// Two fields with one name would be one object.
fn names(input: &SchemaInput, errors: &mut Errors) {
    let mut known = HashMap::new();
    for object in &input.fields {
        let (name, span) = object.name();
        let whole = match (name, &input.attrs.prefix, &input.attrs.dir) {
            (Name::Part(part), Some(prefix), _) => format!("posix:{}.{part}", prefix.value),
            (Name::Part(part), None, Some(dir)) => format!("file:{}/{part}", dir.value.trim_end_matches('/')),
            (Name::Part(part), None, None) => part,
            (Name::File(path), _, Some(dir)) if !path.starts_with('/') => {
                format!("file:{}/{path}", dir.value.trim_end_matches('/'))
            }
            (Name::File(path), _, _) => format!("file:{path}"),
            (Name::Whole(name), _, _) => name,
        };
        if let Some(other) = known.insert(whole.clone(), &object.ident) {
            errors
                .add(span, format!("the object of `{}` would be that of `{other}`, {whole}; change one", object.ident));
        }
    }
}

fn posix_fault(name: &str) -> Option<&'static str> {
    let Some(rest) = name.strip_prefix('/') else { return Some("a POSIX name begins with a slash, as in \"/myapp\"") };
    match rest {
        "" => Some("there is nothing after the slash"),
        "." | ".." => Some("`.` and `..` name directories"),
        _ if rest.contains('/') => {
            Some("a POSIX name has no slash but the first; files are given with `dir` or `file`")
        }
        _ if rest.contains('\0') => Some("it contains a NUL byte"),
        _ if rest.len() > LONGEST => Some("it is longer than 255 bytes"),
        _ => None,
    }
}

/// Of a name's part behind so many bytes.
fn part_fault(part: &str, before: usize) -> Option<&'static str> {
    match part {
        "" => Some("it is empty"),
        "." | ".." => Some("`.` and `..` name directories"),
        _ if part.contains('/') => {
            Some("a part of a name has no slash; a whole name begins with `/`, `posix:` or `file:`")
        }
        _ if part.contains('\0') => Some("it contains a NUL byte"),
        // The slash does not count, the dot behind the prefix does.
        _ if part.len() + before > LONGEST => Some("with the prefix it is longer than 255 bytes"),
        _ => None,
    }
}

fn path_fault(path: &str) -> Option<&'static str> {
    match path {
        "" => Some("it is empty"),
        _ if path.contains('\0') => Some("it contains a NUL byte"),
        _ => None,
    }
}

fn file_fault(path: &str) -> Option<&'static str> {
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        _ if path_fault(path).is_some() => path_fault(path),
        "" => Some("a path that ends in a slash names a directory"),
        "." | ".." => Some("`.` and `..` name directories"),
        _ if last.len() > LONGEST => Some("the file's name is longer than 255 bytes"),
        _ => None,
    }
}
