//! Checks of a schema of tables and arrays, one function each.

use std::collections::HashMap;

use syn::{BinOp, Expr, ExprLit, Lit};

use crate::attr::Errors;
use crate::schema::{Name, Object, SchemaInput};

/// The longest name of a POSIX object or a file, in bytes.
const LONGEST: usize = 255;

/// Runs all checks for `ShmSchema`.
pub(crate) fn check(input: &SchemaInput, errors: &mut Errors) {
    place(input, errors);
    if input.fields.is_empty() && errors.is_empty() {
        errors.add(
            input.original.ident.span(),
            format!(
                "`{}` has no fields, so there are no objects; add a `HashTable<K, V>`, an `Array<T>` or a `Table`",
                input.original.ident
            ),
        );
    }
    let attrs = &input.attrs;
    let of_object = [
        ("slots", &attrs.slots),
        ("max_size", &attrs.max_size),
        ("pagesize", &attrs.pagesize),
        ("stripe_room", &attrs.stripe_room),
    ];
    let of_all = [("mode", &attrs.mode), ("locking", &attrs.locking), ("lock_timeout", &attrs.lock_timeout)];
    for (name, given) in of_all.into_iter().chain(of_object) {
        given.iter().for_each(|given| value(name, &given.value, errors));
    }
    if attrs.object.is_none() {
        for (name, given) in of_object.into_iter().filter_map(|(name, given)| Some((name, given.as_ref()?))) {
            errors.add(
                given.span,
                format!("`{name}` is said of a whole object, and each field has its own; write it on the fields, or put all of \
                         them into one object with `#[shm(object = \"/name\")]`"),
            );
        }
    }
    for object in &input.fields {
        if attrs.object.is_some() {
            of_one_object(object, errors);
        } else {
            read_only(object, errors);
        }
        if let syn::Type::Reference(reference) = &object.ty {
            errors.add(reference.and_token.span, "a schema owns its tables and arrays; remove the `&`");
        }
        arrays_only(object, errors);
        object.attrs.options.iter().for_each(|(name, given)| value(name, &given.value, errors));
        object.attrs.len.iter().for_each(|given| value("len", &given.value, errors));
        name(input, object, errors);
    }
    names(input, errors);
}

fn place(input: &SchemaInput, errors: &mut Errors) {
    if let Some(object) = &input.attrs.object {
        for (other, given) in [("prefix", &input.attrs.prefix), ("dir", &input.attrs.dir)] {
            if let Some(given) = given {
                errors.add(
                    given.span,
                    format!("`object` puts all fields into one object, and `{other}` gives each its own; remove one"),
                );
            }
        }
        let name = object.value.as_str();
        let fault = match (name.strip_prefix("posix:"), name.strip_prefix("file:")) {
            (Some(name), _) => posix_fault(name),
            (None, Some(path)) => file_fault(path),
            (None, None) if name.starts_with('/') => posix_fault(name),
            (None, None) => file_fault(name),
        };
        if let Some(fault) = fault {
            errors.add(object.span, format!("{name:?} cannot be the name of an object: {fault}"));
        }
        return;
    }
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

/// Checks that options of a whole object are not given for a field that is one of several in it.
fn of_one_object(object: &Object, errors: &mut Errors) {
    let attrs = &object.attrs;
    let options = ["mode", "locking", "slots", "max_size", "pagesize", "stripe_room"];
    let options = options.into_iter().filter_map(|option| Some((option, attrs.option(option)?.span)));
    let read_only = attrs.read_only.as_ref().map(|given| ("read_only", given.span));
    let file = attrs.file.as_ref().map(|given| ("file", given.span));
    let give_back_live = attrs.give_back_live.as_ref().map(|given| ("give_back_live", given.span));
    for (option, span) in options.chain(read_only).chain(file).chain(give_back_live) {
        errors.add(
            span,
            format!("all fields are in one object (`object`), and `{option}` is said of whole objects; write it on the struct \
                     if that has it, or remove it"),
        );
    }
}

fn read_only(object: &Object, errors: &mut Errors) {
    if object.attrs.read_only.is_none() {
        return;
    }
    let creating = ["init", "pagesize", "max_size", "stripes", "stripe_room", "slots", "mode"]
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
    if input.attrs.object.is_some() {
        let (Name::Part(text) | Name::File(text) | Name::Whole(text)) = &name;
        let fits = (1..=63).contains(&text.len()) && !text.chars().any(|c| c.is_control() || c == '/');
        if !fits {
            let rule = "it has 1 to 63 bytes, without control characters and '/'";
            errors.add(span, format!("{text:?} cannot be the name of a member of an object: {rule}"));
        }
        return;
    }
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

/// Refuses two fields with one name, which would be one object.
fn names(input: &SchemaInput, errors: &mut Errors) {
    let mut known = HashMap::new();
    for object in &input.fields {
        let (name, span) = object.name();
        let whole = match (name, &input.attrs.prefix, &input.attrs.dir) {
            (Name::Part(part), ..) if input.attrs.object.is_some() => format!("the member {part:?}"),
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

/// Checks values that are known at compile time: literals, but not constants and calls.
fn value(name: &str, given: &Expr, errors: &mut Errors) {
    if let Some(fault) = value_fault(name, given) {
        errors.push(syn::Error::new_spanned(given, fault));
    }
}

fn value_fault(name: &str, given: &Expr) -> Option<String> {
    let literal = match given {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        _ => None,
    };
    match name {
        "locking" => {
            let method = "a locking method is `Locking::Futex`, `Locking::Record` or `Locking::None`";
            return (literal.is_some() || is_bare_method(given)).then(|| method.to_owned());
        }
        "lock_timeout" => {
            let seconds = match literal? {
                Lit::Int(seconds) => seconds.base10_digits().to_owned(),
                _ => "5".to_owned(),
            };
            return Some(format!("this must be a `Duration`, as `std::time::Duration::from_secs({seconds})`"));
        }
        "mode" => return mode_fault(given),
        _ => {}
    }
    if matches!(literal, Some(lit) if !matches!(lit, Lit::Int(_)))
        || matches!(given, Expr::Unary(_)) && is_negative(given)
    {
        return Some(format!("`{name}` must be a whole number, not negative"));
    }
    let number = number(given)?;
    let (least, most, power) = match name {
        "pagesize" => (256, 1 << 20, true),
        "stripes" => (1, 1 << 16, true),
        "stripe_room" => (1, 1 << 16, false),
        "slots" => (1, 1 << 15, false),
        "init" => (1, 1 << 40, false),
        "max_size" => (1 << 16, 1 << 44, false),
        _ => return None,
    };
    let kind = if power { "a power of two" } else { "a number" };
    let fits = (least..=most).contains(&number) && (!power || number.is_power_of_two());
    (!fits).then(|| format!("`{name}` must be {kind} from {least} to {most}"))
}

/// Returns whether an expression is the name of a locking method without that of its type. (`Futex` and `Record` may have been imported.)
fn is_bare_method(given: &Expr) -> bool {
    matches!(given, Expr::Path(path) if path.path.is_ident("None"))
}

/// Requires that permission bits are written in octal: in decimal they would mean something else.
fn mode_fault(given: &Expr) -> Option<String> {
    let Expr::Lit(ExprLit { lit, .. }) = given else {
        return is_negative(given).then(|| "permission bits are not negative, as in `0o600`".to_owned());
    };
    let Lit::Int(mode) = lit else {
        return Some("permission bits are a number in octal, as in `0o600`".to_owned());
    };
    let value: u64 = mode.base10_parse().unwrap_or(u64::MAX);
    let text = mode.to_string();
    if text.starts_with("0x") || text.starts_with("0b") {
        return Some(format!("permission bits are written in octal; write `0o{value:o}`"));
    }
    if value != 0 && text.starts_with(|first: char| first != '0') {
        let digits = mode.base10_digits();
        let octal = if digits.contains(['8', '9']) || digits.len() > 3 { "600" } else { digits };
        return Some(format!("permission bits are written in octal: {text} would be 0o{value:o}; write `0o{octal}`"));
    }
    let text = text.strip_prefix('0').filter(|digits| digits.starts_with(|digit: char| digit.is_ascii_digit()));
    if let Some(digits) = text {
        return Some(format!(
            "permission bits are written in octal, which begins with `0o` in Rust; write `0o{digits}`"
        ));
    }
    (value > 0o777).then(|| "there are no permission bits but those of 0o777".to_owned())
}

fn is_negative(given: &Expr) -> bool {
    matches!(given, Expr::Unary(syn::ExprUnary { op: syn::UnOp::Neg(_), .. }))
}

/// Evaluates an expression of literals.
fn number(given: &Expr) -> Option<u128> {
    match given {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse().ok(),
        Expr::Paren(inner) => number(&inner.expr),
        Expr::Binary(binary) => {
            let (left, right) = (number(&binary.left)?, number(&binary.right)?);
            match binary.op {
                BinOp::Shl(_) => u32::try_from(right).ok().and_then(|right| left.checked_shl(right)),
                BinOp::Mul(_) => left.checked_mul(right),
                BinOp::Add(_) => left.checked_add(right),
                _ => None,
            }
        }
        _ => None,
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

/// Checks the part of a name that follows the `before` bytes of a prefix.
fn part_fault(part: &str, before: usize) -> Option<&'static str> {
    match part {
        "" => Some("it is empty"),
        "." | ".." => Some("`.` and `..` name directories"),
        _ if part.contains('/') => {
            Some("a part of a name has no slash; a whole name begins with `/`, `posix:` or `file:`")
        }
        _ if part.contains('\0') => Some("it contains a NUL byte"),
        // The slash does not count, the dot after the prefix does.
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
