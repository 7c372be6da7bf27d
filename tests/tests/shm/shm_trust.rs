//! Traps in directories that everybody can write to, and permissions.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::shm_common::{io_error, posix_name};
use netshm::{Error, Shm, ShmName};
use netshm_tests::Directory;

fn make_public(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o1777)).unwrap();
}

#[test]
fn links_in_public_directories_are_not_followed_unless_asked() {
    let (public, private) = (Directory::new("trust"), Directory::new("trust"));
    make_public(public.join("").as_path());
    fs::write(private.join("victim"), "precious").unwrap();
    symlink(private.join("victim"), public.join("trap")).unwrap();
    symlink(private.join("new"), public.join("dangling")).unwrap();
    symlink(private.join(""), public.join("subdirectory")).unwrap();

    for name in [public.name("trap"), public.name("dangling"), public.name("subdirectory/victim")] {
        for options in [Shm::options(), Shm::options().create(true), Shm::options().read_only(true)] {
            let error = io_error(options.open(&name));
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{name}");
            assert!(error.to_string().contains("follow_symlinks"), "{error}");
        }
        assert!(Shm::options().truncate(true).open(&name).is_err());
    }
    assert_eq!(fs::read(private.join("victim")).unwrap(), b"precious");
    assert!(!private.join("new").exists());

    let asked = Shm::options().follow_symlinks(true).open(&public.name("trap")).unwrap();
    assert_eq!(asked.size().unwrap(), 8);
    let below = Shm::options().follow_symlinks(true).open(&public.name("subdirectory/victim")).unwrap();
    assert_eq!(below.size().unwrap(), 8);
    let create = Shm::options().create(true).follow_symlinks(true);
    assert!(create.clone().create_new(true).open(&public.name("dangling")).is_err());
    assert_eq!(create.open(&public.name("dangling")).unwrap().size().unwrap(), 0);
    assert!(private.join("new").exists());
}

#[test]
fn links_elsewhere_are_followed() {
    let directory = Directory::new("trust");
    fs::write(directory.join("target"), "12345").unwrap();
    symlink("target", directory.join("link")).unwrap();
    symlink("new", directory.join("dangling")).unwrap();
    symlink("loop", directory.join("loop")).unwrap();
    symlink(".", directory.join("here")).unwrap();
    assert_eq!(Shm::open(directory.name("link")).unwrap().size().unwrap(), 5);
    assert_eq!(Shm::open(directory.name("here/link")).unwrap().size().unwrap(), 5);
    assert_eq!(Shm::open(directory.name("here/./target")).unwrap().size().unwrap(), 5);
    assert_eq!(io_error(Shm::open(directory.name("dangling"))).kind(), ErrorKind::NotFound);
    Shm::options().create(true).open(&directory.name("dangling")).unwrap();
    assert!(directory.join("new").exists());
    assert!(Shm::options().create(true).open(&directory.name("loop")).is_err());
}

#[test]
fn posix_names_do_not_follow_links() {
    let directory = Directory::new("trust");
    fs::write(directory.join("victim"), "precious").unwrap();
    let name = posix_name("link");
    symlink(directory.join("victim"), format!("/dev/shm{}", &name.to_string()[6..])).unwrap();
    let result = Shm::options().create(true).open(&name);
    let asked = Shm::options().follow_symlinks(true).open(&name).map(|shm| shm.size().unwrap());
    name.unlink().unwrap();
    assert_eq!(io_error(result).kind(), ErrorKind::PermissionDenied);
    assert_eq!(asked.unwrap(), 8);
    assert!(directory.join("victim").exists());
}

#[test]
fn relative_paths_are_looked_up_as_usual() {
    let mut absolute = ShmName::file(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let open = |name: &ShmName| Shm::options().read_only(true).open(name).unwrap().size().unwrap();
    let size = open(&absolute);
    // Tests run in the package's directory.
    absolute = ShmName::file("Cargo.toml").unwrap();
    assert_eq!(open(&absolute), size);
    assert_eq!(open(&ShmName::file("tests/../Cargo.toml").unwrap()), size);
    assert_eq!(open(&ShmName::file("./Cargo.toml").unwrap()), size);
}

#[test]
fn objects_of_others_are_refused_if_asked() {
    let directory = Directory::new("trust");
    let name = directory.name("a");
    let strict = Shm::options().create(true).require_owner(true);
    let shm = strict.open(&name).unwrap();
    strict.open(&name).unwrap();
    for (mode, trusted) in [(0o644, true), (0o755, true), (0o620, false), (0o602, false), (0o666, false)] {
        shm.set_mode(mode).unwrap();
        match strict.open(&name) {
            Ok(_) => assert!(trusted, "{mode:o}"),
            Err(error) => {
                assert!(!trusted, "{mode:o}");
                assert!(error.to_string().contains(&format!("{mode:#o}")), "{error}");
                assert_eq!(io_error::<()>(Err(error)).kind(), ErrorKind::PermissionDenied);
            }
        }
        // Without the option, nothing is refused.
        Shm::open(&name).unwrap();
    }
    shm.set_mode(0o600).unwrap();
    let other = if shm.set_owner(Some(12_345), None).is_ok() { name } else { ShmName::file("/etc/passwd").unwrap() };
    let error = io_error(Shm::options().read_only(true).require_owner(true).open(&other));
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("belongs to user"), "{error}");
}

const UNPRIVILEGED: &str = "NETSHM_TEST_UNPRIVILEGED";

/// The superuser may do everything, so this continues in another process as nobody in particular.
#[test]
fn permissions_are_honoured() {
    let directory = Directory::new("trust");
    let metadata = fs::metadata(directory.join("")).unwrap();
    if metadata.uid() != 0 {
        return without_privileges(&directory.join(""));
    }
    Shm::options().create(true).open(&directory.name("secret")).unwrap();
    Shm::options().create(true).mode(0o644).open(&directory.name("readable")).unwrap();
    fs::create_dir(directory.join("own")).unwrap();
    chown(directory.join("own"), Some(65_534), Some(65_534)).unwrap();
    // The test program itself may lie where only the superuser gets to.
    let program = directory.join("program");
    fs::copy(env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(directory.join(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let child = Command::new(program)
        .args(["--ignored", "--exact", "shm_trust::child_without_privileges"])
        .env(UNPRIVILEGED, directory.join(""))
        .current_dir("/")
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(directory.join("own/reached").exists());
}

#[test]
#[ignore = "the other process of permissions_are_honoured"]
fn child_without_privileges() {
    let Some(path) = env::var_os(UNPRIVILEGED) else { return };
    let path = Path::new(&path);
    let name = |file: &str| ShmName::file(path.join(file)).unwrap();
    let denied = |result| assert_eq!(io_error(result).kind(), ErrorKind::PermissionDenied);
    denied(Shm::open(name("secret")));
    denied(Shm::options().read_only(true).open(&name("secret")));
    denied(Shm::open(name("readable")));
    denied(Shm::options().create(true).open(&name("new")));
    let reader = Shm::options().read_only(true).open(&name("readable")).unwrap();
    assert!(matches!(reader.set_mode(0o666), Err(Error::Io { .. })));
    denied(Shm::options().read_only(true).require_owner(true).open(&name("readable")));
    without_privileges(&path.join("own"));
    fs::write(path.join("own/reached"), "").unwrap();
}

/// Runs in a directory of the effective user, which is not the superuser.
fn without_privileges(directory: &Path) {
    let name = ShmName::file(directory.join("mine")).unwrap();
    for mode in [0o000, 0o200, 0o400] {
        let shm = Shm::options().create_new(true).mode(mode).open(&name).unwrap();
        // The permissions count, though this process has the object open.
        assert_eq!(io_error(Shm::open(&name)).kind(), ErrorKind::PermissionDenied, "{mode:o}");
        assert_eq!(Shm::options().read_only(true).open(&name).is_ok(), mode & 0o400 != 0, "{mode:o}");
        shm.set_mode(0o600).unwrap();
        Shm::open(&name).unwrap();
        name.unlink().unwrap();
    }
}
