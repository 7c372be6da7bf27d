//! The members of an object, as it describes them: the one without a name in its header, the others in the catalogue.

use std::sync::Arc;

use super::Header;
use super::header::{self, MOST_SCHEMA, committed, corrupt};
use crate::error::{Error, Result};
use crate::layout::entry::{ENTRY_WORDS, Entry, LEAVING, LONGEST_NAME, USED};
use crate::layout::header::ObjectKind;
use crate::layout::{DENSE, Geometry, MAX_OBJECT, MAX_VALUE};
use crate::os::file;
use crate::shm::Object;

/// A member, as the object describes it.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Never used again in the object; 0 for the member without a name.
    pub(crate) id: u64,
    /// Index of its entry.
    pub(crate) index: Option<u32>,
    /// Empty for the member without a name.
    pub(crate) name: String,
    pub(crate) kind: ObjectKind,
    /// The object as the member sees it.
    pub(crate) geometry: Geometry,
    /// Words of an array element that lies in its chunk; 0 if elements lie in records, and in tables.
    pub(crate) element_words: u64,
    default_at: u64,
    default_words: u64,
    /// True if it has been removed, but for its contents.
    pub(crate) is_leaving: bool,
}

impl Member {
    /// Returns the member without a name, if there is one.
    pub(super) fn unnamed(header: &Header) -> Option<Member> {
        let geometry = &header.geometry;
        header.kind.map(|kind| Member {
            id: 0,
            index: None,
            name: String::new(),
            kind,
            geometry: *geometry,
            element_words: header.element_words,
            default_at: geometry.default_value(),
            default_words: geometry.default_words,
            is_leaving: false,
        })
    }

    /// Returns the number of words of the stored default value.
    pub(crate) fn default_value(&self, object: &Arc<Object>) -> Result<Vec<u64>> {
        object.check_descriptors()?;
        let size = file::size(object.fd()).map_err(|source| Error::Io {
            object: object.name().clone(),
            doing: "look up the size",
            source,
        })?;
        if self.default_words > size / 8 {
            return Err(corrupt(object, self.default_at, "the default value is larger than the object"));
        }
        let mut default = vec![0; self.default_words as usize];
        let read = file::read_at(object.fd(), bytemuck::cast_slice_mut(&mut default), self.default_at)
            .map_err(|source| Error::Io { object: object.name().clone(), doing: "read the default value", source })?;
        if read as u64 != self.default_words * 8 {
            return Err(corrupt(object, self.default_at, "the default value is cut off"));
        }
        Ok(default)
    }

    /// Returns the text of the stored schema.
    pub(crate) fn schema(&self, object: &Arc<Object>) -> Result<String> {
        header::schema(object, &self.geometry).map(|schema| schema.text)
    }

    /// Returns where the default value lies, if it has a run of its own.
    pub(crate) fn default_run(&self) -> Option<u64> {
        (self.index.is_some() && self.default_words > 0).then_some(self.default_at)
    }
}

/// Content of the catalogue.
pub(crate) struct Catalogue {
    pub(crate) stripes_used: u32,
    pub(super) entries_used: u32,
    pub(super) last_id: u64,
    /// The first entry that can be used for another member.
    pub(super) unused: u32,
    pub(crate) members: Vec<Member>,
}

impl Catalogue {
    /// Reads it, while nobody initialises the object, or adds or removes members.
    pub(crate) fn read(object: &Arc<Object>, header: &Header) -> Result<Catalogue> {
        let geometry = &header.geometry;
        let [stripes_used, entries_used, last_id] = header::counts(object, geometry)?;
        let mut members = Vec::new();
        members.extend(Member::unnamed(header));
        let (stripes_used, entries_used) = (stripes_used as u32, entries_used as u32);
        let start = geometry.entry(0).state();
        let words = committed(object, geometry, start, entries_used as usize * ENTRY_WORDS)?;
        let mut unused = entries_used;
        for (index, words) in (0..).zip(words.as_chunks::<ENTRY_WORDS>().0) {
            if words[0] != USED && words[0] != LEAVING {
                unused = unused.min(index);
                continue;
            }
            let damaged =
                || corrupt(object, geometry.entry(index).state().bytes(), "an entry of the catalogue is damaged");
            let member = Entry::from_words(words).and_then(|entry| Self::member(geometry, index, stripes_used, entry));
            members.push(member.ok_or_else(damaged)?);
        }
        let mut stripes: Vec<_> = members.iter().map(|member| member.geometry.own()).collect();
        stripes.sort_unstable_by_key(|own| own.start);
        if stripes.windows(2).any(|pair| pair[0].end > pair[1].start) {
            return Err(corrupt(object, start.bytes(), "two members have the same stripe"));
        }
        Ok(Catalogue { stripes_used, entries_used, last_id, unused, members })
    }

    /// Reads an entry; fails if it is not a possible one.
    fn member(geometry: &Geometry, index: u32, stripes_used: u32, entry: Entry) -> Option<Member> {
        let Entry {
            state,
            id,
            kind,
            form,
            element_words,
            first,
            stripes,
            init,
            default_at,
            default_words,
            name,
            schema,
        } = entry;
        let sound = stripes.is_power_of_two()
            && first >= geometry.first()
            && first.checked_add(stripes).is_some_and(|end| end <= stripes_used)
            && (1..=1 << 40).contains(&init)
            && element_words <= DENSE as u64
            && default_words <= MAX_VALUE / 8
            && default_at < MAX_OBJECT
            && schema[1] <= MOST_SCHEMA
            && is_name(&name);
        sound.then(|| Member {
            id,
            index: Some(index),
            name,
            kind,
            geometry: geometry.of_member(first, stripes, init, form, geometry.entry(index).part()),
            element_words,
            default_at,
            default_words,
            is_leaving: state == LEAVING,
        })
    }

    /// Returns the member of that name; none for the one without a name.
    pub(crate) fn find(&self, name: Option<&str>) -> Option<&Member> {
        self.members.iter().find(|member| !member.is_leaving && member.name == name.unwrap_or_default())
    }

    /// Names of the members that have one.
    pub(crate) fn names(&self) -> Vec<String> {
        self.members.iter().filter(|m| !m.is_leaving && m.index.is_some()).map(|m| m.name.clone()).collect()
    }

    /// Returns an id that no member has had.
    pub(super) fn next_id(&self, object: &Arc<Object>, header: &Header) -> Result<u64> {
        let last = self.members.iter().map(|member| member.id).fold(self.last_id, u64::max);
        let damaged = || corrupt(object, header.geometry.entry(0).state().bytes(), "the ids of members are used up");
        last.checked_add(1).ok_or_else(damaged)
    }

    /// Returns the first of `count` stripes in a row that no member has.
    pub(super) fn free_stripes(&self, header: &Header, count: u32) -> u32 {
        let mut taken: Vec<_> = self.members.iter().map(|member| member.geometry.own()).collect();
        taken.sort_unstable_by_key(|own| own.start);
        let mut first = header.geometry.meta() + 1;
        for own in taken {
            if own.start >= first && own.start - first >= count {
                break;
            }
            first = first.max(own.end);
        }
        first
    }
}

/// Returns whether a text can be the name of a member.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.chars().any(|c| c.is_control() || c == '/')
}
