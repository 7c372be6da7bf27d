//! Options for opening objects.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::FileType;

use super::descriptor::Shm;
use super::object::Object;
use super::registry::{self, Access};
use crate::error::{Error, Result};
use crate::name::{IntoShmName, ShmName};
use crate::os::fork;
use crate::os::path::{self, Directory, Status};

/// Options for opening and creating objects, in the manner of [`std::fs::OpenOptions`].
///
/// Made by [`Shm::options`]. Without any, the object must exist and is opened for reading and writing. Each method takes the options
/// and returns them with one of them set, as those of [`ManageOptions`](crate::options::ManageOptions) do.
///
/// ```
/// use netshm::{Shm, ShmName};
///
/// let name = ShmName::posix(format!("/options.{}", std::process::id()))?;
/// let shm = Shm::options().create(true).mode(0o640).open(&name)?;
/// let reader = Shm::options().read_only(true).open(&name)?;
/// assert!(reader.is_read_only());
/// name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until `open` is called"]
pub struct ShmOptions {
    read_only: bool,
    create: bool,
    create_new: bool,
    truncate: bool,
    mode: u32,
    require_owner: bool,
    pub(super) follow_symlinks: bool,
    pub(super) lock_timeout: Option<Duration>,
}

impl Shm {
    /// Returns the options for opening an object; see [`ShmOptions`].
    pub fn options() -> ShmOptions {
        ShmOptions::new()
    }

    /// Opens an object that exists, for reading and writing.
    ///
    /// ```
    /// # let name = netshm::ShmName::posix("/shm-open.example")?;
    /// # netshm::Shm::options().create(true).open(&name)?;
    /// let shm = netshm::Shm::open("posix:/shm-open.example")?;
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`ShmOptions::open`].
    #[doc(alias = "open_shm")]
    #[doc(alias = "attach")]
    #[doc(alias = "connect")]
    pub fn open(name: impl IntoShmName) -> Result<Shm> {
        Shm::options().open(&name.to_name()?)
    }

    /// Opens an object for reading and writing, and creates it if it does not exist, with mode `0o600`.
    ///
    /// ```
    /// let shm = netshm::Shm::open_or_create("posix:/shm-open-or-create.example")?;
    /// # shm.name().unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`ShmOptions::open`].
    #[doc(alias = "create")]
    pub fn open_or_create(name: impl IntoShmName) -> Result<Shm> {
        Shm::options().create(true).open(&name.to_name()?)
    }
}

/// Attempts at opening the file, which may be replaced by another one meanwhile.
const TRIES: usize = 100;

/// Permission bits that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

impl ShmOptions {
    pub(super) fn new() -> ShmOptions {
        ShmOptions {
            read_only: false,
            create: false,
            create_new: false,
            truncate: false,
            mode: 0o600,
            require_owner: false,
            follow_symlinks: false,
            lock_timeout: None,
        }
    }

    /// Opens the object for reading only. Every operation that would change it fails with [`Error::ReadOnly`].
    #[doc(alias = "O_RDONLY")]
    #[doc(alias = "readonly")]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Creates the object if it does not exist.
    #[doc(alias = "O_CREAT")]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Creates the object, which must not exist yet.
    #[doc(alias = "O_EXCL")]
    pub fn create_new(mut self, create_new: bool) -> Self {
        self.create_new = create_new;
        self
    }

    /// Makes the object empty, whatever it was, unless any process uses it: then opening fails with
    /// [`Error::InUse`]. (To use an object is to manage it; a mere [`Shm`] does not count.)
    #[doc(alias = "O_TRUNC")]
    pub fn truncate(mut self, truncate: bool) -> Self {
        self.truncate = truncate;
        self
    }

    /// Sets the permission bits of an object that is created; the process's umask takes bits away, as for any file. The default
    /// is `0o600`: only the owner.
    #[doc(alias = "chmod")]
    #[doc(alias = "permissions")]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Refuses an object that does not belong to the effective user, or that its group or others may write to. In a
    /// directory like `/tmp` or `/dev/shm`, anybody could have created the object beforehand.
    pub fn require_owner(mut self, require_owner: bool) -> Self {
        self.require_owner = require_owner;
        self
    }

    /// Follows symbolic links even where anybody could have put them: in directories that everybody can write to,
    /// like `/tmp` and `/dev/shm`. Elsewhere they are always followed.
    pub fn follow_symlinks(mut self, follow_symlinks: bool) -> Self {
        self.follow_symlinks = follow_symlinks;
        self
    }

    /// Sets how long operations of the handle itself wait for other processes, as [`Shm::members`], [`Shm::remove_member`] and
    /// [`Shm::copy_to`]; then they fail with [`Error::LockTimeout`]. By default they wait as long as it takes. What is managed has a
    /// limit of its own ([`ManageOptions::lock_timeout`](crate::ManageOptions::lock_timeout)). Operations that work for long between two
    /// waits have the whole time for each: [`Shm::copy_to`] for what it copies beside writers and for the locks at its end, [`Shm::trim`]
    /// for each index that it shrinks.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = Some(timeout);
        self
    }

    /// Opens the object.
    ///
    /// Objects that this process has open already share their descriptors and locks with the new handle. A name in a text is
    /// parsed first: `open(&"posix:/x".parse()?)`.
    ///
    /// # Errors
    /// - [`Error::InvalidOption`]: two options contradict each other, or the mode has other than permission bits.
    /// - [`Error::Io`]: the object does not exist, or exists although `create_new` is set; the permissions, or
    ///   [`require_owner`](Self::require_owner), forbid it; a symbolic link is in the way (see
    ///   [`follow_symlinks`](Self::follow_symlinks)).
    /// - [`Error::NotNetshm`]: it is not a regular file.
    /// - [`Error::InUse`]: it was to be emptied, and a process uses it.
    // Not `impl IntoShmName`: then the type of `parse` in the call could not be inferred.
    #[doc(alias = "attach")]
    #[doc(alias = "connect")]
    pub fn open(&self, name: &ShmName) -> Result<Shm> {
        self.check()?;
        let failed = |doing| move |source| Error::Io { object: name.to_string().into(), doing, source };
        let place = Directory::find(&name.path(), self.follow_symlinks).map_err(failed("opening the directory"))?;
        self.open_in(&name.absolute(), &Arc::new(place))
    }

    /// Opens the object in a place that has been found already.
    pub(super) fn open_in(&self, name: &ShmName, place: &Arc<Directory>) -> Result<Shm> {
        let failed = |doing| move |source| Error::Io { object: name.to_string().into(), doing, source };
        let shm = |object| Shm::new(name.clone(), object, self.clone(), place.clone());
        fork::prepare().map_err(failed("opening"))?;
        for _ in 0..TRIES {
            if self.creates()
                && let Some(object) = registry::create(place, name, name, self.mode).map_err(failed("creating"))?
            {
                return Ok(shm(object).note_created(name));
            }
            if self.create_new {
                return Err(failed("creating")(io::ErrorKind::AlreadyExists.into()));
            }
            let Some(probe) = place.probe().map_err(failed("opening"))? else {
                if !self.creates() {
                    let doing = "opening it (option `create` is not set)";
                    return Err(failed(doing)(io::Error::from_raw_os_error(libc::ENOENT)));
                }
                // It vanished, or it is a symbolic link that leads nowhere.
                if place.follows_links()
                    && let Some((object, file)) = self.create_behind_links(name).map_err(failed("creating"))?
                {
                    return Ok(shm(object).note_created(&file));
                }
                continue;
            };
            self.inspect(name, &path::status(probe.as_fd()).map_err(failed("opening"))?)?;
            let access = if self.read_only { Access::ReadOnly } else { Access::ReadWrite };
            if let Some(object) = registry::open(place, probe.as_fd(), name, access).map_err(failed("opening"))? {
                if self.truncate && !registry::empty(place, &object).map_err(failed("emptying"))? {
                    return Err(Error::InUse { object: object.name().clone(), wanted: "empty it" });
                }
                return Ok(shm(object));
            }
        }
        Err(failed("opening")(io::Error::other("the file behind the name keeps changing")))
    }

    /// Returns whether the options make a new or empty object.
    pub(super) fn makes_empty(&self) -> bool {
        self.create_new || self.truncate
    }

    fn creates(&self) -> bool {
        self.create || self.create_new
    }

    fn check(&self) -> Result<()> {
        let refuse = |option, value: String, reason: &str| {
            Err(Error::InvalidOption { option, value, reason: reason.to_owned() })
        };
        if self.read_only {
            for (option, given) in
                [("create", self.create), ("create_new", self.create_new), ("truncate", self.truncate)]
            {
                if given {
                    return refuse(option, "true".to_owned(), "`read_only` is given as well");
                }
            }
        }
        if self.mode & !0o777 != 0 {
            return refuse("mode", format!("{:#o}", self.mode), "only the permission bits, 0o777, can be given");
        }
        if self.require_owner && self.creates() && self.mode & OTHERS_WRITE != 0 {
            let reason = "`require_owner` is given as well, and would refuse the object afterwards";
            return refuse("mode", format!("{:#o}", self.mode), reason);
        }
        Ok(())
    }

    /// Creates the file that a symbolic link leads to, unless it is there by now, or the link is not.
    fn create_behind_links(&self, name: &ShmName) -> io::Result<Option<(Arc<Object>, ShmName)>> {
        let path = path::behind_links(&name.path())?;
        if path == name.path() {
            return Ok(None);
        }
        let file = ShmName::file(path).map_err(io::Error::other)?;
        let place = Directory::find(&file.path(), self.follow_symlinks)?;
        let object = registry::create(&place, name, &file, self.mode)?;
        Ok(object.map(|object| (object, file)))
    }

    /// Refuses a file that is not regular, or that `require_owner` forbids.
    fn inspect(&self, name: &ShmName, status: &Status) -> Result<()> {
        if status.file_type != FileType::RegularFile {
            return Err(Error::NotNetshm {
                object: name.to_string().into(),
                found: describe(status.file_type).to_owned(),
            });
        }
        let reason = match path::effective_user() {
            _ if !self.require_owner => return Ok(()),
            user if status.owner != user => format!("it belongs to user {}, not to {user}", status.owner),
            _ if status.mode & OTHERS_WRITE != 0 => {
                format!("its mode {:#o} lets others than the owner write", status.mode)
            }
            _ => return Ok(()),
        };
        let source = io::Error::new(io::ErrorKind::PermissionDenied, reason);
        Err(Error::Io { object: name.to_string().into(), doing: "opening with `require_owner`", source })
    }
}

fn describe(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        _ => "something that is not a regular file",
    }
}
